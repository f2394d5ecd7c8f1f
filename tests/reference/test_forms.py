"""Transcripts as people have them are read in their own form, or refused in a sentence."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from facts import session as built
from facts import turn

import rtkit
from rtkit.reference import SidecarError, find_reference, read_cues, read_reference
from rtkit.session import Session

# Three turns: (speaker, text, words with their times in seconds).
SAID = [
    ("A", "Good morning, library.", [("Good", 0.4, 0.6), ("morning,", 0.6, 1.1),
                                     ("library.", 1.2, 1.9)]),
    ("B", "I renew two books.", [("I", 3.0, 3.1), ("renew", 3.2, 3.6), ("two", 3.7, 3.9),
                                 ("books.", 4.0, 4.5)]),
    ("A", "Of course.", [("Of", 5.5, 5.7), ("course.", 5.7, 6.2)]),
]  # fmt: skip
WORDS = [word for _, _, words in SAID for word in words]
TEXT = " ".join(text for _, text, _ in SAID)


def heard(seconds: float = 8.0, first: int = 0, **how: Any) -> Session:
    """A session of `call.wav` whose transcript is perfect."""
    offset = first / 1000
    words = [(t, s - offset, e - offset) for t, s, e in WORDS if s >= offset]
    words = [word for word in words if word[2] <= seconds]
    message = turn(seconds, *words, final=True)
    chunks = [0.0] * round(10 * seconds)
    return built(chunks, message, first=first, total=8000, service={"name": "x"}, **how)


def sentence(text: str) -> str:
    return " ".join(word.strip(".,").lower() for word in text.split())


def stm() -> str:
    lines = [f"call 1 {who} {w[0][1]} {w[-1][2]} <o,f0,female> {sentence(t)}" for who, t, w in SAID]
    return ";; made by hand\n" + "\n".join(lines) + "\n"


def ctm() -> str:
    return "".join(f"call 1 {s:.2f} {e - s:.2f} {sentence(t)} 0.98\n" for t, s, e in WORDS)


def whisper_tsv() -> str:
    rows = [f"{int(w[0][1] * 1000)}\t{int(w[-1][2] * 1000)}\t{t}" for _, t, w in SAID]
    return "start\tend\ttext\n" + "\n".join(rows) + "\n"


def stamp(seconds: float, point: str = ",") -> str:
    return f"00:00:{seconds:06.3f}".replace(".", point)


def srt() -> str:
    return "\n".join(
        f"{n}\n{stamp(w[0][1])} --> {stamp(w[-1][2])}\n{t}\n"
        for n, (_, t, w) in enumerate(SAID, start=1)
    )


def vtt() -> str:
    return "WEBVTT\n\n" + "\n".join(
        f"{stamp(w[0][1], '.')} --> {stamp(w[-1][2], '.')}\n<v Speaker {who}>{t}\n"
        for who, t, w in SAID
    )


def printed() -> str:
    return "".join(
        f"[{stamp(w[0][1], '.')[3:]} --> {stamp(w[-1][2], '.')[3:]}]  {t}\n" for _, t, w in SAID
    )


def whisper(words: bool = True) -> str:
    segments = [
        {"id": i, "seek": 0, "start": w[0][1], "end": w[-1][2], "text": f" {t}", "tokens": [1],
         **({"words": [{"word": f" {x}", "start": s, "end": e, "probability": 1} for x, s, e in w]}
            if words else {})}
        for i, (_, t, w) in enumerate(SAID)
    ]  # fmt: skip
    return json.dumps({"text": f" {TEXT}", "segments": segments, "language": "en"})


def whisperx() -> str:
    segments = []
    for who, text, words in SAID:
        parts: list[dict[str, Any]] = [
            {"word": t, "start": s, "end": e, "score": 0.9, "speaker": f"SPEAKER_0{who}"}
            for t, s, e in words
        ]
        if text.startswith("I"):
            parts[2] = {"word": "two"}  # numbers are not aligned
        segments.append({"start": words[0][1], "end": words[-1][2], "text": text, "words": parts,
                         "speaker": f"SPEAKER_0{who}"})  # fmt: skip
    return json.dumps({"segments": segments, "word_segments": []})


def openai() -> str:
    words = [{"word": t.strip(".,"), "start": s, "end": e} for t, s, e in WORDS]
    segments = [{"id": 0, "start": 0.0, "end": 8.0, "text": TEXT}]
    said = {"task": "transcribe", "duration": 8.0, "text": TEXT, "words": words}
    return json.dumps({**said, "segments": segments})


def whisper_cpp() -> str:
    pieces = [
        {"timestamps": {"from": stamp(w[0][1]), "to": stamp(w[-1][2])},
         "offsets": {"from": int(w[0][1] * 1000), "to": int(w[-1][2] * 1000)}, "text": f" {t}"}
        for _, t, w in SAID
    ]  # fmt: skip
    return json.dumps({"systeminfo": "AVX", "result": {"language": "en"}, "transcription": pieces})


def deepgram(utterances: bool = False) -> str:
    words = [
        {"word": sentence(t), "punctuated_word": t, "start": s, "end": e, "confidence": 0.99,
         "speaker": "AB".index(who)}
        for who, _, words in SAID for t, s, e in words
    ]  # fmt: skip
    results: dict[str, Any] = {"channels": [{"alternatives": [
        {"transcript": TEXT, "confidence": 0.99, "words": words}]}]}  # fmt: skip
    if utterances:
        results["utterances"] = [
            {"start": w[0][1], "end": w[-1][2], "transcript": t, "speaker": "AB".index(who),
             "words": [{"word": x, "start": s, "end": e} for x, s, e in w]}
            for who, t, w in SAID
        ]  # fmt: skip
    return json.dumps({"metadata": {"duration": 8.0, "channels": 1}, "results": results})


def aws() -> str:
    items: list[dict[str, Any]] = []
    for who, _, words in SAID:
        for text, start, end in words:
            items.append({"type": "pronunciation", "start_time": str(start), "end_time": str(end),
                          "alternatives": [{"confidence": "0.9", "content": text.strip(".,")}],
                          "speaker_label": f"spk_{'AB'.index(who)}"})  # fmt: skip
            if text[-1] in ".,":
                items.append({"type": "punctuation", "alternatives": [{"content": text[-1]}]})
    results = {"transcripts": [{"transcript": TEXT}], "items": items}
    return json.dumps({"jobName": "a", "status": "COMPLETED", "results": results})


def speechmatics() -> str:
    items: list[dict[str, Any]] = []
    for who, _, words in SAID:
        for text, start, end in words:
            best = {"content": text.strip(".,"), "confidence": 1.0, "speaker": f"S{who}"}
            items.append({"type": "word", "start_time": start, "end_time": end,
                          "alternatives": [best]})  # fmt: skip
            if text[-1] in ".,":
                mark = {"content": text[-1], "confidence": 1.0}
                items.append({"type": "punctuation", "attaches_to": "previous", "start_time": end,
                              "end_time": end, "alternatives": [mark]})  # fmt: skip
    return json.dumps({"format": "2.9", "metadata": {"type": "transcription"}, "results": items})


def google(*, second: bool = False, speakers: bool = True) -> str:
    """Of version 1, or 2: results of a turn each; with speakers, one more that repeats it all."""

    def times(start: float, end: float) -> dict[str, Any]:
        if second:
            return {"startOffset": f"{start:.3f}s", "endOffset": f"{end:.3f}s"}
        return {"startTime": {"seconds": int(start), "nanos": round(start % 1 * 1e9)},
                "endTime": f"{end:.3f}s"}  # fmt: skip

    each = [
        [{"word": t, **times(s, e), **({"speakerTag": "AB".index(who) + 1} if speakers else {})}
         for t, s, e in words]
        for who, _, words in SAID
    ]  # fmt: skip
    if speakers:
        each.append([word for words in each for word in words])
    results = [{"alternatives": [{"transcript": "", "words": words}]} for words in each]
    return json.dumps({"name": "1", "response": {"results": results}} if second
                      else {"results": results})  # fmt: skip


def rev() -> str:
    said = [
        {"speaker": "AB".index(who), "elements": [
            part for t, s, e in words for part in (
                {"type": "text", "value": t.strip(".,"), "ts": s, "end_ts": e, "confidence": 1.0},
                {"type": "punct", "value": (t[-1] if t[-1] in ".," else "") + " "})]}
        for who, _, words in SAID
    ]  # fmt: skip
    return json.dumps({"monologues": said})


def soniox() -> str:
    """Words in two tokens each, the first with the space before it."""
    tokens: list[dict[str, Any]] = []
    for who, _, words in SAID:
        for text, start, end in words:
            half = round((start + end) * 500)
            for part, s, e in (
                (f" {text[:1]}", round(start * 1000), half),
                (text[1:], half, round(end * 1000)),
            ):
                if part:
                    tokens.append({"text": part, "start_ms": s, "end_ms": e, "speaker": who})
            tokens[-1]["end_ms"] = round(end * 1000)
        tokens.append({"text": "<end>", "is_final": True})
    return json.dumps({"id": "x", "text": TEXT, "tokens": tokens})


def hugging_face(*, words: bool = True) -> str:
    spans = WORDS if words else [(t, w[0][1], w[-1][2]) for _, t, w in SAID]
    chunks = [{"text": f" {t}", "timestamp": [s, e]} for t, s, e in spans]
    return json.dumps({"text": TEXT, "chunks": chunks})


def assemblyai(*, utterances: bool = True) -> str:
    def ms(words: list[tuple[str, float, float]], who: str) -> list[dict[str, Any]]:
        return [{"text": t, "start": round(s * 1000), "end": round(e * 1000), "confidence": 0.9,
                 "speaker": who} for t, s, e in words]  # fmt: skip

    said = [
        {"start": round(w[0][1] * 1000), "end": round(w[-1][2] * 1000), "text": t, "speaker": who,
         "words": ms(w, who)}
        for who, t, w in SAID
    ]  # fmt: skip
    return json.dumps({
        "id": "x", "status": "completed", "audio_duration": 8, "language_code": "en_us",
        "text": TEXT, "words": [w for who, _, words in SAID for w in ms(words, who)],
        "utterances": said if utterances else None,
    })  # fmt: skip


def textgrid(*, words: bool = True, short: bool = False) -> str:
    def interval(start: float, end: float, text: str) -> list[str]:
        if short:
            return [f"{start}", f"{end}", f'"{text}"']
        return [f"xmin = {start}", f"xmax = {end}", f'text = "{text}"']

    spoken = WORDS if words else [(t, w[0][1], w[-1][2]) for _, t, w in SAID]
    rows, at = [], 0.0
    for text, start, end in spoken:
        if start > at:
            rows.append(interval(at, start, ""))
        rows.append(interval(start, end, text))
        at = end
    rows.append(interval(at, 8.0, "sil"))
    name = "words" if words else "utterances"
    head = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n'
    if short:
        body = "\n".join(line for row in rows for line in row)
        return f'{head}0\n8.0\n<exists>\n1\n"IntervalTier"\n"{name}"\n0\n8.0\n{len(rows)}\n{body}\n'
    body = "".join(
        f"        intervals [{n}]:\n" + "".join(f"            {line}\n" for line in row)
        for n, row in enumerate(rows, start=1)
    )
    return (
        f"{head}xmin = 0\nxmax = 8.0\ntiers? <exists>\nsize = 1\nitem []:\n    item [1]:\n"
        f'        class = "IntervalTier"\n        name = "{name}"\n        xmin = 0\n'
        f"        xmax = 8.0\n        intervals: size = {len(rows)}\n{body}"
    )


TABLE = "start,end,text\n" + "\n".join(
    f'{int(w[0][1] * 1000)},{int(w[-1][2] * 1000)},"{t}"' for _, t, w in SAID
)
LABELS = "\n".join(f"{w[0][1]:.6f}\t{w[-1][2]:.6f}\t{t}" for _, t, w in SAID)
LEXEMES = "".join(f"LEXEME call 1 {s} {e - s:.3f} {sentence(t)} lex A <NA>\n" for t, s, e in WORDS)
NAMED = "\n".join(f"{'Librarian' if who == 'A' else 'Caller'}: {t}" for who, t, _ in SAID)
NUMBERED = "\n".join(f"Speaker {who}: {t}" for who, t, _ in SAID)
DIARIZED = "\n".join(f"[SPEAKER_0{'AB'.index(who)}]: {t}" for who, t, _ in SAID)
MINUTES = "\n".join(f"[00:00:0{int(w[0][1])}] Speaker {who}: {t}" for who, t, w in SAID)
CHEVRONS = "\n".join(f">> {t}" for _, t, _ in SAID)
BOLD = "\n".join(f"**{who}nna:** {t}" for who, t, _ in SAID)
VIDEO = "\n".join(f"0:0{int(w[0][1])}\n{t}" for _, t, w in SAID)
MEETING = "\n\n".join(f"{who}nna Smith  0:0{int(w[0][1])}\n{t}" for who, t, w in SAID)
SBV = "\n".join(
    f"0:{stamp(w[0][1], '.')[3:]},0:{stamp(w[-1][2], '.')[3:]}\n{t}\n" for _, t, w in SAID
)
IN_SECONDS = "\n".join(f"[{w[0][1]:.2f}s -> {w[-1][2]:.2f}s] {t}" for _, t, w in SAID)
STYLED = srt().replace("-->", "→").replace("Of course", "{i}Of{/i} {\\an8}<b>course</b>")
ESCAPED = (
    vtt()
    .replace("WEBVTT", "webvtt")
    .replace("Of course", "<ruby>Of<rt>ov</rt></ruby>&nbsp;cour&shy;se&lrm;")
)
UNSORTED = "\n\n".join(reversed(srt().strip().split("\n\n")))

FORMS: dict[str, tuple[str, str]] = {
    "STM": ("call.stm", stm()),
    "STM, upper case": ("call.STM", stm()),
    "CTM": ("call.ctm", ctm()),
    "RTTM with words": ("call.rttm", LEXEMES),
    "Whisper's TSV": ("call.tsv", whisper_tsv()),
    "whisper.cpp's CSV": ("call.csv", TABLE),
    "Whisper's printed text": ("call.txt", printed()),
    "Whisper's JSON": ("call.json", whisper()),
    "Whisper's JSON without words": ("call.json", whisper(words=False)),
    "WhisperX": ("call.json", whisperx()),
    "OpenAI's API": ("call.json", openai()),
    "OpenAI's API, text alone": ("call.json", json.dumps({"text": TEXT})),
    "whisper.cpp's JSON": ("call.json", whisper_cpp()),
    "Deepgram": ("call.json", deepgram()),
    "Deepgram's utterances": ("call.json", deepgram(utterances=True)),
    "AWS": ("call.json", aws()),
    "Speechmatics": ("call.json", speechmatics()),
    "Google": ("call.json", google()),
    "Google without speakers": ("call.json", google(speakers=False)),
    "Google, version 2": ("call.json", google(second=True)),
    "Rev AI": ("call.json", rev()),
    "Soniox": ("call.json", soniox()),
    "Hugging Face": ("call.json", hugging_face()),
    "Hugging Face's segments": ("call.json", hugging_face(words=False)),
    "AssemblyAI": ("call.json", assemblyai()),
    "AssemblyAI's words": ("call.json", assemblyai(utterances=False)),
    "TextGrid": ("call.TextGrid", textgrid()),
    "TextGrid, short": ("call.textgrid", textgrid(short=True)),
    "TextGrid, short, that ends with its last word": (
        "call.TextGrid",
        textgrid(short=True).rstrip().rsplit("\n", 3)[0],
    ),
    "TextGrid of utterances": ("call.TextGrid", textgrid(words=False)),
    "SRT": ("call.srt", srt()),
    "SRT, upper case": ("call.SRT", srt()),
    "VTT": ("call.vtt", vtt()),
    "VTT with ruby and entities": ("call.vtt", ESCAPED),
    "SRT with styles": ("call.srt", STYLED),
    "SRT in no order": ("call.srt", UNSORTED),
    "SRT with a Mac's line ends": ("call.srt", srt().replace("\n", "\r")),
    "SBV": ("call.sbv", SBV),
    "faster-whisper's lines": ("call.txt", IN_SECONDS),
    "CSV with semicolons": ("call.csv", "start;end;text\n" + LABELS.replace("\t", ";")),
    "captions in a text file": ("call.txt", srt()),
    "columns in a text file": ("call.txt", ctm()),
    "Audacity's labels": ("labels.txt", LABELS),
    "JSON in a text file": ("call.txt", whisper()),
    "plain text": ("call.txt", TEXT),
    "names": ("call.txt", NAMED),
    "numbered speakers": ("call.txt", NUMBERED),
    "diarized text": ("call.txt", DIARIZED),
    "minutes": ("call.txt", MINUTES),
    "chevrons": ("call.txt", CHEVRONS),
    "plain text with names in bold": ("call.txt", BOLD),
    "text of a video": ("call.txt", VIDEO),
    "text of a meeting": ("call.txt", MEETING),
    "text in JSON": ("call.json", json.dumps(TEXT)),
    "texts in JSON": ("call.json", json.dumps([t for _, t, _ in SAID])),
    "OpenAI's text with its usage": ("call.json", json.dumps({"text": TEXT, "usage": {"n": 1}})),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_perfect_transcript_is_scored_as_one_in_any_form(tmp_path: Path, form: str) -> None:
    name, content = FORMS[form]
    (tmp_path / name).write_text(content, encoding="utf-8")
    for reference in (tmp_path / name, str(tmp_path / name)):
        found = rtkit.wer(heard(), reference)
        assert (found.rate, found.words) == (0.0, 9), form


@pytest.mark.parametrize("form", [form for form in FORMS if not FORMS[form][0].endswith(".json")
                                  and "TextGrid" not in form and "RTTM" not in form
                                  and form != "JSON in a text file"])  # fmt: skip
def test_what_such_a_file_holds_may_be_given_as_it_stands(form: str) -> None:
    assert rtkit.wer(heard(), FORMS[form][1]).rate == 0.0


@pytest.mark.parametrize("form", [form for form in FORMS if "text" not in form.lower()
                                  and form not in ("names", "numbered speakers", "minutes",
                                                   "chevrons")])  # fmt: skip
def test_only_the_stretch_that_was_streamed_counts(tmp_path: Path, form: str) -> None:
    """From 2.5 s on, for 2.5 s: the second turn."""
    name, content = FORMS[form]
    (tmp_path / name).write_text(content, encoding="utf-8")
    found = rtkit.wer(heard(2.5, 2500), tmp_path / name)
    assert (found.rate, found.words) == (0.0, 4), form


def test_turns_and_their_speakers_are_kept(tmp_path: Path) -> None:
    for form in ("Deepgram", "AWS", "AssemblyAI's words", "WhisperX", "CTM", "TextGrid", "Google",
                 "Google, version 2", "Rev AI", "Soniox", "Speechmatics"):  # fmt: skip
        name, content = FORMS[form]
        (tmp_path / name).write_text(content, encoding="utf-8")
        reference = read_reference(tmp_path / name)
        assert [len(one.words) for one in reference.turns] in ([3, 4, 2], [3, 3, 2]), form
        assert [w.start for w in reference.words][:2] == [0.4, 0.6]
        if form not in ("CTM", "TextGrid"):
            speakers = [one.speaker for one in reference.turns]
            assert speakers[0] == speakers[2] != speakers[1], form


def test_utf16_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    files = (("a.TextGrid", textgrid()), ("a.srt", srt()), ("a.stm", stm()), ("a.json", whisper()))
    for name, content in files:
        for encoding in ("utf-16", "utf-16-be", "utf-32-le"):
            (tmp_path / name).write_bytes(content.replace("\n", "\r\n").encode(encoding))
            assert rtkit.wer(heard(), tmp_path / name).rate == 0.0, (name, encoding)


def test_text_that_is_no_utf8_says_how_to_save_it(tmp_path: Path) -> None:
    (tmp_path / "a.srt").write_bytes(srt().replace("Of", "Öf").encode("latin-1"))
    with pytest.raises(SidecarError, match=r"not UTF-8 text\. Save it as UTF-8, .*: iconv -f"):
        rtkit.wer(heard(), tmp_path / "a.srt")


def test_one_recording_is_taken_out_of_many(tmp_path: Path) -> None:
    other = stm().replace("call 1", "other 1").replace("good morning", "bad night")
    (tmp_path / "all.stm").write_text(other + stm())
    assert rtkit.wer(heard(), tmp_path / "all.stm").rate == 0.0
    (tmp_path / "all.stm").write_text(other + stm().replace("call 1", "call.wav 1"))
    assert rtkit.wer(heard(), tmp_path / "all.stm").rate == 0.0
    (tmp_path / "all.stm").write_text(other + stm().replace("call 1", "third 1"))
    told = r"all\.stm cannot be used: it describes 2 recordings \(other, third\), but not call"
    with pytest.raises(SidecarError, match=told):
        rtkit.wer(heard(), tmp_path / "all.stm")


RTTM = "".join(
    f"SPEAKER call 1 {w[0][1]} {w[-1][2] - w[0][1]:.3f} <NA> <NA> {who} <NA> <NA>\n"
    for who, _, w in SAID
)
QUEUED = json.dumps({"id": "x", "status": "processing", "text": None, "words": None})


def test_who_spoke_when_is_read_and_is_no_text_to_score(tmp_path: Path) -> None:
    (tmp_path / "call.rttm").write_text(RTTM)
    reference = read_reference(tmp_path / "call.rttm")
    assert [(one.speaker, one.start, one.end) for one in reference.turns] == [
        ("A", 0.4, 1.9), ("B", 3.0, 4.5), ("A", 5.5, 6.2),
    ]  # fmt: skip
    with pytest.raises(SidecarError, match="says who spoke when, but not what"):
        rtkit.wer(heard(), tmp_path / "call.rttm")


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "call.docx",
            "PK\x03\x04",
            "is not in a format that can be scored: rtkit reads JSON",
        ),
        ("call.eaf", "<xml/>", "is not in a format that can be scored"),
        ("call.xyz", "good morning", "is not in a format that can be scored"),
        ("call.wav", "RIFF", "is not in a format that can be scored"),
        ("call.txt", "<!DOCTYPE html><html><body>Sign in to read</body></html>", "is a web page"),
        ("call.srt", "good morning", "has no captions"),
        ("call.srt", srt().replace("00:00:03,000", "00:00:03;10"), "line 6 has no times in hours"),
        ("call.txt", "1\n00:00:03:10 --> 00:00:04:00\ngood", "line 2 has no times in hours"),
        ("call.txt", "<html>good</html>", "is a web page"),
        ("call.txt", "{\\rtf1 good}", "is an RTF document"),
        ("call.txt", "[Script Info]\nDialogue: 0,0:00,0:01,,,,,,,good", "is SubStation captions"),
        ("call.stm", "good morning, library\n", "line 1 is not valid STM"),
        ("call.ctm", "call 1 0.1 0.2 good\ncall 1\n", "line 2 is not valid CTM"),
        ("call.tsv", "client_id\tpath\tsentence\nx\ta.mp3\tgood\n", 'no columns called "start"'),
        ("call.tsv", "start\tend\ttext\nsoon\t2\tgood\n", "its times are not numbers"),
        ("call.TextGrid", "good morning", "it is not a readable TextGrid"),
        ("call.json", '{"monologues": []}', 'it has no "turns" and no "words"'),
        ("call.json", "[3]", "it is not a reference"),
        ("call.json", '{"tokens": [{"text": 3, "start_ms": "x"}]}', "looks like Soniox's JSON"),
        ("call.json", QUEUED, r'transcript is not ready \(status "processing"\)'),
        ("call.json", '{"words": null}', "transcript is not ready"),
        ("call.json", '{"status": "error", "error": "x", "text": null}', "has no transcript"),
        ("call.json", '{"jobName": "a", "status": "IN_PROGRESS"}', "not ready"),
        ("call.json", '{"results": {"channels": [{}]}}', "looks like Deepgram's JSON and cannot"),
    ],
)
def test_the_rest_is_refused_in_a_sentence(
    tmp_path: Path, name: str, content: str, told: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SidecarError, match=rf"call\.\w+ .*{told}") as refusal:
        rtkit.wer(heard(), tmp_path / name)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "path",
    ["call.stm", "call.SRT", "refs/call", "refs\\call.txt", "~/call.json", "my call.srt",
     "./call", "call.xyz", "/tmp/nowhere/call.ctm", "call.wav", "C:\\refs\\call.vtt"],
)  # fmt: skip
def test_a_string_that_looks_like_a_path_is_never_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SidecarError):
        rtkit.wer(heard(), path)


def test_a_missing_reference_is_told_with_the_folder_one_is_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("call.stm", "call.json", "call.txt", "call.TextGrid"):
        told = rf"{name} cannot be read: No such file or directory, searched from {tmp_path}"
        with pytest.raises(SidecarError, match=told):
            rtkit.wer(heard(), name)


@pytest.mark.parametrize(
    "text",
    ["Good morning, library. I renew two books. Of course.", "good\nmorning",
     "It was 3.5 or 4.5 of them.", "Ask and/or answer, please.", "Note: two books. Of course."],
)  # fmt: skip
def test_text_is_text(text: str) -> None:
    assert rtkit.wer(heard(), text).words >= 2


def test_a_name_once_is_a_word() -> None:
    assert rtkit.wer(heard(), "Careful: good morning, library.\nI renew two books.").words == 8
    times = rtkit.wer(heard(), "10:30 is fine.\n11:30 is better.")
    assert times.words > rtkit.wer(heard(), "is fine.\nis better.").words == 4


# Milliseconds, and what lies beyond the end.


@pytest.fixture
def call(tmp_path: Path) -> Path:
    path = tmp_path / "call.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(79 * 8000) / 9), 8000)
    return path


def words_at(*times: tuple[float, float]) -> str:
    return json.dumps({"words": [{"text": "hi", "start": s, "end": e} for s, e in times]})


@pytest.mark.parametrize("times", [[(400, 600), (700, 1100)], [(0.4, 0.9), (79.2, 79.4)]])
def test_words_beyond_the_end_are_refused_beside_a_recording(
    call: Path, times: list[tuple[float, float]]
) -> None:
    call.with_suffix(".json").write_text(words_at(*times))
    told = r"The reference beside call\.wav has its last word at .* is 79\.00 s long"
    for how in ({}, {"seconds": 2.0}, {"start": 78.0}):
        with pytest.raises(SidecarError, match=told):
            rtkit.open_clip(call, **how)  # type: ignore[arg-type]


def test_milliseconds_are_said_to_be_milliseconds(call: Path) -> None:
    call.with_suffix(".json").write_text(words_at((400, 600), (700, 1100)))
    with pytest.raises(SidecarError, match="divide milliseconds by 1000"):
        rtkit.open_clip(call)
    call.with_suffix(".json").write_text(words_at((400, 600), (7e5, 1.1e6)))
    with pytest.raises(SidecarError, match="to another recording, or to another version"):
        rtkit.open_clip(call)


def test_a_word_that_begins_at_the_very_end_is_let_pass(call: Path) -> None:
    call.with_suffix(".json").write_text(words_at((78.5, 78.9), (79.0, 79.0)))
    assert rtkit.open_clip(call).reference is not None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.json", words_at((400, 600), (700, 1100))),
        ("a.stm", "call 1 A 40.5 41.5 good morning\n"),
        ("a.ctm", "call 1 400 20 good\n"),
        ("a.tsv", "start\tend\ttext\n40000\t41000\tgood\n"),
        ("a.srt", f"1\n{stamp(40.0)} --> {stamp(41.0)}\ngood\n"),
    ],
)
def test_words_beyond_the_end_are_refused_by_wer_too(
    tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SidecarError, match=r"a\.\w+ has its last .* 8\.00 s long"):
        rtkit.wer(heard(), tmp_path / name)


def test_a_reference_of_another_stretch_is_not_nothing_said(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(words_at((6.5, 6.9)))
    with pytest.raises(SidecarError, match=r"has no words within what was streamed, 2\.500 to 5"):
        rtkit.wer(heard(2.5, 2500), tmp_path / "a.json")


def test_services_json_beside_a_recording_is_in_seconds(call: Path) -> None:
    for content in (assemblyai(), whisper(), deepgram(), aws(), google(), rev(), soniox(),
                    speechmatics(), hugging_face()):  # fmt: skip
        call.with_suffix(".json").write_text(content)
        reference = rtkit.open_clip(call).reference
        assert reference is not None
        assert [(w.start, w.end) for w in reference.words] == [
            pytest.approx((s, e)) for _, s, e in WORDS
        ]


@pytest.mark.parametrize(
    "content",
    [QUEUED, '{"words": null}', '{"turns": null}', '{"id": "x", "status": "queued"}',
     '{"jobName": "a", "status": "IN_PROGRESS"}', whisper(words=False)],
)  # fmt: skip
def test_a_transcript_without_words_yet_is_no_reference(call: Path, content: str) -> None:
    call.with_suffix(".json").write_text(content)
    assert find_reference(call) is None
    assert rtkit.open_clip(call).reference is None


# Captions that roll.


def rolled(lines: list[str]) -> str:
    """As a platform's automatic captions are: a line, then that line above the next one."""
    cues, before = [], ""
    for number, line in enumerate(lines):
        at = 0.4 + 0.5 * number
        cues.append((at, at + 0.49, [before, line] if before else [line]))
        cues.append((at + 0.49, at + 0.5, [line]))
        before = line
    return "WEBVTT\n\n" + "\n".join(
        f"{stamp(s, '.')} --> {stamp(e, '.')} align:start position:0%\n" + "\n".join(said) + "\n"
        for s, e, said in cues
    )


def scored(tmp_path: Path, content: str, said: str, name: str = "a.vtt") -> float:
    """The rate of a session that heard exactly `said`."""
    (tmp_path / name).write_text(content)
    words = [(w, 0.1 * i, 0.1 * i + 0.05) for i, w in enumerate(said.split())]
    return rtkit.wer(built([0.0] * 80, turn(8.0, *words, final=True)), tmp_path / name).rate


def test_captions_that_roll_say_each_word_once(tmp_path: Path) -> None:
    lines = ["good morning library", "i renew two books", "yeah", "yeah", "of course you do"]
    assert scored(tmp_path, rolled(lines), " ".join(lines)) == 0.0


def test_captions_of_three_lines_roll_too(tmp_path: Path) -> None:
    lines = ["one two", "three four", "five six", "seven eight", "nine ten"]
    content = "\n".join(
        f"{n + 1}\n{stamp(n)} --> {stamp(n + 1)}\n" + "\n".join(lines[max(0, n - 2) : n + 1]) + "\n"
        for n in range(5)
    )
    assert scored(tmp_path, content, " ".join(lines), "a.srt") == 0.0


def test_captions_that_roll_within_a_line_say_each_word_once(tmp_path: Path) -> None:
    lines = ["good morning library", "i renew two books", "yes please", "of course", "you do"]
    content = "\n".join(
        f"{n + 1}\n{stamp(n)} --> {stamp(n + 1)}\n" + " ".join(lines[max(0, n - 1) : n + 1]) + "\n"
        for n in range(len(lines))
    )
    assert scored(tmp_path, content, " ".join(lines), "a.srt") == 0.0


def test_captions_that_grow_over_a_pause_do_too(tmp_path: Path) -> None:
    words = ["good", "morning", "library", "i", "renew", "books"]
    content = "\n".join(
        f"{n}\n{stamp(n + (n > 3))} --> {stamp(n + (n > 3) + 1)}\n{' '.join(words[:n])}\n"
        for n in range(1, len(words) + 1)
    )
    assert scored(tmp_path, content, " ".join(words), "a.srt") == 0.0


def test_captions_that_grow_word_by_word_say_each_once(tmp_path: Path) -> None:
    words = ["good", "morning", "library", "and", "good", "morning", "to", "you"]
    content = "\n".join(
        f"{n}\n{stamp(0.5 * n)} --> {stamp(0.5 * n + 0.5)}\n{' '.join(words[:n])}\n"
        for n in range(1, len(words) + 1)
    )
    assert scored(tmp_path, content, " ".join(words), "a.srt") == 0.0


def test_highlighted_words_are_one_line(tmp_path: Path) -> None:
    """As ``whisper --highlight_words True`` writes them: the line again for each of its words."""
    words = ["good", "morning", "dear", "library"]
    lines = [
        " ".join(f"<u>{w}</u>" if i == j else w for j, w in enumerate(words)) for i in range(4)
    ] + ["I <u>renew</u> books", "I renew <u>books</u>"]
    content = "\n".join(
        f"{n}\n{stamp(0.5 * n)} --> {stamp(0.5 * n + 0.5)}\n{line}\n"
        for n, line in enumerate(lines, start=1)
    )
    assert scored(tmp_path, content, " ".join(words) + " I renew books", "a.srt") == 0.0


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["yeah, yeah"], "yeah yeah"),
        (["yeah,", "yeah"], "yeah yeah"),
        (["yeah", "yeah"], "yeah yeah"),
        (["no", "no", "no", "that is all"], "no no no that is all"),
        (["so", "so we went", "home"], "so so we went home"),
        (["- yes\n- yes", "- good\n- yes"], "yes yes good yes"),
    ],
)
def test_what_is_said_twice_stays_twice(tmp_path: Path, lines: list[str], said: str) -> None:
    content = "\n".join(
        f"{n}\n{stamp(n)} --> {stamp(n + 0.9)}\n{line}\n" for n, line in enumerate(lines, start=1)
    )
    assert scored(tmp_path, content, said, "a.srt") == 0.0


def test_cues_of_ordinary_captions_are_left_as_they_are() -> None:
    assert [cue.lines for cue in read_cues(srt())] == [(text,) for _, text, _ in SAID]
    text = textwrap.dedent(vtt())
    assert [cue.start for cue in read_cues(text)] == [0.4, 3.0, 5.5]
