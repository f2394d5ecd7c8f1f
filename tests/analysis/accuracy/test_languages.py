"""Words in many scripts: what is the same is forgiven, and what differs is counted exactly."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
from facts import session, turn

import rtkit
from rtkit.analysis.accuracy.languages import counted_in, normalizer
from rtkit.analysis.accuracy.wer_result import WordErrorRate


def score(said: str, heard: str, language: str) -> WordErrorRate:
    words = [(word, 0.01 * i, 0.01 * i + 0.005) for i, word in enumerate(heard.split())]
    return rtkit.wer(session([0.0] * 20, turn(1.9, *words, final=True)), said, language=language)


# language, what was said, the same written otherwise, something else, of how many, how many errors
SCRIPTS = {
    "Latin": ("de", "Schöne Straße, ja!", "scho\u0308ne STRASSE ja", "schone Straße ja", 3, 1),
    "Latin of Vietnamese": ("vi", "Tiếng Việt.", "tie\u0302\u0301ng VIỆT", "tiềng Viet", 2, 2),
    "Latin of Turkish": ("tr", "IŞIK İyi", "ışık iyi", "işık iyi", 2, 1),
    "Cyrillic": ("uk", "П’ять днів.", "п'ять ДНІВ", "пять дні", 2, 2),
    "Greek": ("el", "Καλός ΛΌΓΟΣ;", "καλόσ λόγος", "καλως λόγος", 2, 1),
    "Hebrew": ("he", 'שָׁלוֹם צה"ל', "שָׁלוֹם, צה״ל", "שָׁלֵם צהל", 2, 2),
    "Arabic": ("ar", "كَتَبَ الدرس ٣", "كَتَبَ؟ الـدرس 3", "كُتِبَ الدرس 4", 3, 2),
    "Arabic of Persian": ("fa", "می‌خواهم بروم", "میخواهم، بروم", "می‌خواهد بروم", 2, 1),
    "Devanagari": ("hi", "की किताब २ है।", "की, किताब 2 है", "का कताब 2 हैं", 4, 3),
    "Bengali": ("bn", "দুটি কথা।", "দুটি কথা", "দুটা কথা", 2, 1),
    "Gurmukhi": ("pa", "ਮੇਰਾ ਨਾਂ।", "ਮੇਰਾ ਨਾਂ", "ਮੇਰੀ ਨਾ", 2, 2),
    "Tamil": ("ta", "தமிழ் மொழி.", "தமிழ் மொழி", "தமிழ மொழி", 2, 1),
    "Telugu": ("te", "నేను వస్తాను.", "నేను వస్తాను", "నేను వస్తావు", 2, 1),
    "Sinhala": ("si", "මම යනවා.", "මම යනවා", "මම යනව", 2, 1),
    "Ethiopic": ("am", "ሰላም፡ነው።", "ሰላም ነው", "ሰላም ናቸው", 2, 1),
    "Georgian": ("ka", "გამარჯობა, მე!", "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ მე", "გამარჯობა შენ", 2, 1),
    "Armenian": ("hy", "Բարև Ձեզ։", "բարև ձեզ", "բարի ձեզ", 2, 1),
    "Hangul": ("ko", "한국어 말.", unicodedata.normalize("NFD", "한국어 말"), "한국인 말", 2, 1),
    "Han": ("zh-CN", "今天天气好。", "今 天 天气好", "今天天汽好", 5, 1),
    "Kana": ("ja", "ガギグ、です。", "ｶﾞｷﾞｸﾞです", "カギグです", 5, 1),
    "Thai": ("th", "น้ำกี่", "น\u0e49\u0e4d\u0e32กี่", "นำกา", 2, 3),
    "Lao": ("lo", "ນ້ຳດີ", "ນ້ຳ ດີ", "ນ້ຳດ", 2, 1),
    "Khmer": ("km", "ភាសា។", "ភា សា", "ភាសី", 2, 1),
    "Burmese": ("my", "ကို မီ။", "ကိုမီ", "ကိုမ", 2, 1),
}  # fmt: skip


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_the_same_is_forgiven_and_what_differs_is_counted(script: str) -> None:
    language, said, same, other, units, errors = SCRIPTS[script]
    written = [unicodedata.normalize(form, said) for form in ("NFC", "NFD")]
    for text in (said, same, *written):
        for first, second in ((said, text), (text, said)):
            found = score(first, second, language)
            assert (found.rate, found.words) == (0, units)
    found = score(said, other, language)
    assert (found.words, len(found.errors)) == (units, errors)
    back = score(other, said, language)
    assert len(back.errors) == errors


@pytest.mark.parametrize("language", ["hi", "bn", "th", "ta", "ar", "he", "my", "km", "ko", "en"])
def test_no_mark_is_ever_deleted(language: str) -> None:
    """Words that differ in one mark alone differ, under each language's rules."""
    for plain, marked in (("क", "की"), ("ক", "কি"), ("ก", "กี"), ("க", "கி"), ("كتب", "كُتب")):
        assert normalizer(language)(plain) != normalizer(language)(marked)


@pytest.mark.parametrize(
    ("tags", "unit"),
    [
        ("zh zh-CN zh_Hant ZH cmn-Hans-CN yue ja-JP th_TH km nan zh-yue und-Hans", "characters"),
        ("en EN pt-BR ko-KR vi hi_IN zh-Latn ja_Latn-JP nan-Latn-TW zh-Cyrl es-419", "words"),
    ],
)
def test_a_tag_counts_by_its_language(tags: str, unit: str) -> None:
    for tag in tags.split():
        assert counted_in(tag) == unit
        found = score("今天 好", "今天 坏", tag)
        assert (found.counted_in, found.words) == (unit, {"words": 2, "characters": 3}[unit])
        assert str(found).startswith({"words": "WER", "characters": "CER"}[unit])
        assert f"of {found.words} {unit}" in str(found)


def test_english_by_any_tag_is_english() -> None:
    for tag in ("en", "EN", "en-GB", "en_US", "eng"):
        assert normalizer(tag)("We’re in the THEATRE at twenty-one") == [
            *("we", "are", "in", "the", "theater", "at", "21"),
        ]


@pytest.mark.parametrize("tag", ["", "English", "e", "zh CN", "zh-", "12", "de_"])
def test_what_is_no_tag_is_loud(tag: str) -> None:
    with pytest.raises(
        ValueError, match="is not a language code; give one such as 'en' or 'pt-BR'"
    ):
        normalizer(tag)


@pytest.mark.parametrize("language", ["en", "de", "hi", "zh"])
def test_blanks_and_bare_punctuation_are_no_words(language: str) -> None:
    bare = ["", "  ", ".", "... —", "¿?", "。、", "❤️ 👍🏽", "'", "\u3000", "\u200b", "\u00a8"]
    for nothing in bare:
        assert normalizer(language)(nothing) == []
    assert score("a — b", "a . ... b !", language).rate == 0
    assert score("one ... two — three", "one two three", language).rate == 0


def test_what_the_docs_say_of_english_is_so() -> None:
    digits = score("seven four two", "7 4 2", "en")
    assert (digits.words, digits.substitutions, digits.insertions) == (1, 1, 2)
    assert (
        score("We're at the theatre, uh, at twenty-one", "we are at the theater at 21", "en").rate
        == 0
    )
    assert score("twenty-one", "21", "de").rate > 0
    assert score("Café (laughs) [noise]", "cafe", "en").rate == 0
    assert score("Café", "cafe", "fr").rate == 1


def test_english_keeps_other_scripts_whole() -> None:
    said = "he said हिंदी की किताब is good"
    assert normalizer("en")(said) == said.split()
    assert len(score(said, "he said हिंदी का किताब is good", "en").errors) == 1


@pytest.mark.parametrize(
    ("language", "text", "words"),
    [
        ("fr", "L’homme, aujourd'hui: «porte-clés» 'oui'", "lʼhomme aujourdʼhui porte clés oui"),
        ("bn", "দু'টি", "দুʼটি"),
        ("ru", "№ 5 (смех) — ещё", "no 5 ещё"),
        ("de", "m² und ｆｕｌｌ", "m2 und full"),
    ],
)
def test_what_is_a_word(language: str, text: str, words: str) -> None:
    assert normalizer(language)(text) == words.split()


@pytest.mark.parametrize(
    "reference", [None, [("one", 0.0, 0.15), ("...", 0.2, 0.3), ("two", 0.6, 0.7)]]
)
def test_blanks_and_bare_punctuation_are_no_words_of_latency_either(reference: Any) -> None:
    """Nor do they move a turn's end, and a turn of nothing else is shown and not counted."""
    said = [("one", 0.0, 0.15), ("—", 0.2, 0.3), ("two", 0.6, 0.7), (" ", 0.8, 0.9)]
    heard = session(
        [0.0] * 20,
        turn(1.9, *said, final=True, decided=1500),
        turn(1.95, ("…", 1.6, 1.7), order=1, final=True, decided=1900),
        reference=reference,
    )
    assert rtkit.word_latency(heard).texts == ("one", "two")
    latency = rtkit.turn_latency(heard)
    assert latency.excluded.tolist() == ["", "unmatched"]
    assert latency.end[0] == 0.7
    words = rtkit.to_frame(heard, "words")
    assert words.text[words.counted].tolist() == ["one", "two"]
    assert words.text[~words.counted].tolist() == ["…"]
    first = rtkit.first_word_latency(heard)
    assert [text for text, counted in zip(first.texts, first.counted, strict=True) if counted] == [
        "one"
    ]
