"""What counts as a word in each language.

English is normalized as Whisper's evaluation does. Other languages share one rule for all scripts:
Unicode NFKC, case folding, and removal of punctuation and symbols by category. Marks are never
removed, because in most scripts they are vowels.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from itertools import groupby
from unicodedata import category

__all__ = ["counted_in", "folded", "normalizer"]

# Where no spaces stand between words: scripts, and languages that are mostly written in them.
UNSPACED_SCRIPTS = {"hani", "hans", "hant", "bopo", "jpan", "hrkt", "hira", "kana", "thai", "laoo",
                    "mymr", "khmr", "lana"}  # fmt: skip
UNSPACED = {
    *("zh", "zho", "chi", "cmn", "yue", "wuu", "nan", "hak", "gan", "hsn", "cdo", "cjy", "lzh"),
    *("ja", "jpn", "th", "tha", "nod", "tts", "sou", "lo", "lao", "my", "mya", "bur", "shn"),
    *("km", "khm"),
}
ENGLISH = {"en", "eng"}
TURKIC = {"tr", "tur", "az", "aze"}  # with an i and a dotless ı, each with a capital of its own

# What NFKC would take apart, or leave as several characters for one.
_BEFORE = str.maketrans(dict.fromkeys("’‘ʼʻ´`＇", "'") | {"\u200b": " ", "ـ": ""})
_APOSTROPHE = re.compile("'(?=\\w)")
_GERSHAYIM = re.compile('["״](?=[\u05d0-\u05ea])')
_AM = re.compile("([\u0e4d\u0ecd])([\u0e48-\u0e4b\u0ec8-\u0ecb]?)([\u0e32\u0eb2])")  # Thai, Lao
_INVISIBLE = re.compile("[\u034f\u180b-\u180d\ufe00-\ufe0f\U000e0100-\U000e01ef]")


def _subtags(tag: str) -> list[str]:
    """A language tag's parts: BCP 47's, in any case, and with underscores as well."""
    if not re.fullmatch(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*", tag):
        raise ValueError(f"{tag!r} is not a language code; give one such as 'en' or 'pt-BR'")
    return re.split("[-_]", tag.lower())


def counted_in(tag: str) -> str:
    """Whether a language's text is counted in ``"words"`` or in ``"characters"``.

    Characters are Unicode's grapheme clusters: a letter with its marks. Where the tag names a
    script, as ``"zh-Latn"``, that decides.

    Raises
    ------
    ValueError
        If it is not a language tag.
    """
    language, *others = _subtags(tag)
    scripts = [other for other in others if len(other) == 4 and other.isalpha()]
    unspaced = scripts[0] in UNSPACED_SCRIPTS if scripts else language in UNSPACED
    return "characters" if unspaced else "words"


def normalizer(tag: str) -> Callable[[str], list[str]]:
    """What makes the words, or characters, of a text that are compared.

    Raises
    ------
    ValueError
        If it is not a language tag.
    ImportError
        If whisper-normalizer is not installed.
    """
    import regex
    from whisper_normalizer.basic import BasicTextNormalizer

    language = _subtags(tag)[0]
    basic = BasicTextNormalizer(preserve_marks=True)

    def words(text: str) -> list[str]:
        normal = _AM.sub(_am, basic(folded(text, language)))
        return [word for word in normal.split() if _is_word(word)]

    def characters(text: str) -> list[str]:
        return [one for word in words(text) for one in regex.findall(r"\X", word)]

    if counted_in(tag) == "characters":
        return characters
    if language not in ENGLISH:
        return words
    from whisper_normalizer.english import EnglishTextNormalizer

    english = EnglishTextNormalizer()

    def english_words(text: str) -> list[str]:
        """By English rules as far as the text is in Latin letters: they delete marks."""
        found: list[str] = []
        seen = "".join(sign for sign in text.translate(_BEFORE) if category(sign) != "Cf")
        # A dash or an ellipsis by itself would keep digits beside it apart.
        spoken = [piece for piece in seen.split() if not _is_bare(piece)]
        for latin, pieces in groupby(spoken, key=_is_latin):
            piece = " ".join(pieces)
            found += english(piece).split() if latin else words(piece)
        return [word for word in found if _is_word(word)]

    return english_words


def folded(text: str, language: str = "") -> str:
    """Without what does not make another word, whatever the script: case, width, digits, ...

    An apostrophe within a word is part of it, as are Hebrew's gershayim (Unicode's word boundaries,
    UAX 29): they become the letters that look like them, which the normalizer keeps.
    """
    if language in TURKIC:
        text = unicodedata.normalize("NFC", text).replace("I", "ı").replace("İ", "i")
    text = unicodedata.normalize("NFKC", text.translate(_BEFORE)).casefold()
    text = unicodedata.normalize("NFKC", text)
    text = "".join(_plain(character) for character in text)
    text = _APOSTROPHE.sub(_inside("\N{MODIFIER LETTER APOSTROPHE}"), _INVISIBLE.sub("", text))
    return _GERSHAYIM.sub(_inside("\N{MODIFIER LETTER DOUBLE PRIME}"), text)


def _inside(letter: str) -> Callable[[re.Match[str]], str]:
    """The letter instead of the sign, where the sign follows a letter or a mark."""
    return lambda sign: (
        letter
        if unicodedata.category(sign.string[sign.start() - 1 : sign.start()] or " ")[0] in "LM"
        else sign[0]
    )


def _am(taken_apart: re.Match[str]) -> str:
    """Thai's and Lao's sara am as the one letter that it is."""
    return taken_apart[2] + ("\u0e33" if taken_apart[3] == "\u0e32" else "\u0eb3")


def _plain(character: str) -> str:
    """Digits of any script as ASCII's; nothing for what cannot be seen."""
    category = unicodedata.category(character)
    if category == "Nd":
        return str(unicodedata.decimal(character))
    return "" if category == "Cf" else character


def _is_word(text: str) -> bool:
    """Whether it is a word; punctuation or a mark alone is not."""
    return any(unicodedata.category(character)[0] in "LN" for character in text)


def _is_bare(text: str) -> bool:
    return all(unicodedata.category(character)[0] == "P" for character in text)


def _is_latin(text: str) -> bool:
    return all(
        not character.isalpha() or unicodedata.name(character, "").startswith("LATIN")
        for character in unicodedata.normalize("NFKC", text)
    )
