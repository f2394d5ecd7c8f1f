"""Transcripts in the JSON of services and tools, brought into the form of a reference.

Whisper and what follows it (faster-whisper, WhisperX, whisper.cpp, OpenAI's API, Hugging Face's
pipelines), Deepgram, AWS Transcribe, Speechmatics, Google, Rev AI, and, in milliseconds, AssemblyAI
and Soniox.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import pairwise
from typing import Any, TypeGuard

from rtkit.reference.spoken import SidecarError

__all__ = ["in_turns", "turns_in"]

PAUSE = 0.5  # seconds of silence that part two turns, where nothing else does
MISSING = {"queued", "processing", "in_progress", "submitted", "running", "pending"}
FAILED = {"error", "failed"}

Word = dict[str, Any]  # text, start, end, and the speaker if one is told
Turn = dict[str, Any]


def turns_in(data: Any) -> list[Turn] | None:
    """The turns that JSON tells, in the form of a reference; None if it is of no known service.

    Raises
    ------
    SidecarError
        If it is one, and its transcript is not there yet or is damaged.
    """
    if isinstance(data, list) and data and all(map(_is_segment, data)):
        data = {"segments": data}
    if not isinstance(data, dict) or "turns" in data:
        return None
    for name, form in _FORMS.items():
        try:
            turns = form(data)
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise SidecarError(
                f"it looks like {name} and cannot be read ({type(error).__name__}: {error})"
            ) from error
        if turns is not None:
            return turns
    return None


def in_turns(words: Iterable[Word]) -> list[Turn]:
    """Words put into turns: a new one where the speaker changes, or after half a second."""
    words = sorted(words, key=lambda word: float(word["end"]))
    borders = [0] + [
        number
        for number, (before, after) in enumerate(pairwise(words), start=1)
        if after["start"] - before["end"] >= PAUSE or after.get("speaker") != before.get("speaker")
    ]
    return [
        _turn(words[start:stop], None)
        for start, stop in zip(borders, [*borders[1:], len(words)], strict=True)
        if start < stop
    ]


def _turn(words: list[Word], text: object, times: Mapping[str, Any] | None = None) -> Turn:
    times = times or {"start": min(w["start"] for w in words), "end": max(w["end"] for w in words)}
    said = str(text or " ".join(word["text"] for word in words)).strip()
    speaker = words[0].get("speaker") if words else None
    return {"start": times["start"], "end": times["end"], "text": said, "words": words,
            "speaker": speaker}  # fmt: skip


def _words(items: Iterable[Mapping[str, Any]], scale: float = 1.0) -> list[Word]:
    """Words with times; a word without, as WhisperX leaves numbers, stands in its turn's text."""
    found = []
    for item in items:
        said = item.get("punctuated_word") or item.get("word") or item.get("text")
        start, end = (item.get(name, item.get(f"{name}_time")) for name in ("start", "end"))
        if said is None or start is None or end is None:
            continue
        speaker = item.get("speaker")
        word = {"text": str(said).strip(), "start": float(start) * scale, "end": float(end) * scale}
        found.append(word if speaker is None else {**word, "speaker": str(speaker)})
    return sorted(found, key=lambda word: float(word["end"]))


def _segments(items: Iterable[Mapping[str, Any]], scale: float = 1.0) -> Iterator[Turn]:
    for item in items:
        times = {name: float(item[name]) * scale for name in ("start", "end")}
        said = item.get("text") or item.get("transcript") or ""
        turn = _turn(_words(item.get("words") or (), scale), said, times)
        if item.get("speaker") is not None:
            turn["speaker"] = str(item["speaker"])
        if turn["text"] or turn["words"]:
            yield turn


def _is_segment(item: object) -> bool:
    return isinstance(item, dict) and {"start", "end", "text"} <= item.keys()


def _hold(items: Any, name: str) -> TypeGuard[list[dict[str, Any]]]:
    """Whether these are things that have such a name."""
    return isinstance(items, list) and any(isinstance(one, dict) and name in one for one in items)


def _wait(status: object) -> None:
    if str(status).lower() in MISSING:
        raise SidecarError(f'its transcript is not ready (status "{status}"): fetch it again later')
    if str(status).lower() in FAILED:
        raise SidecarError(
            f'it has no transcript (status "{status}"): the service failed to transcribe it'
        )


# One function for each form: None where it is another.


def _whisper(data: Mapping[str, Any]) -> list[Turn] | None:
    segments = data.get("segments")
    if isinstance(segments, list) and all(map(_is_segment, segments)):
        turns = list(_segments(segments))
        if isinstance(data.get("words"), list) and not any(turn["words"] for turn in turns):
            return in_turns(_words(data["words"]))  # OpenAI's, which keeps them apart
        return turns
    if isinstance(pieces := data.get("transcription"), list):  # whisper.cpp, in ms
        cues = [
            {
                "start": piece["offsets"]["from"],
                "end": piece["offsets"]["to"],
                "text": str(piece["text"]).strip(),
            }
            for piece in pieces
        ]
        return list(_segments(cues, 0.001))
    if _hold(chunks := data.get("chunks"), "timestamp"):  # Hugging Face's
        spans = [(str(one["text"]).strip(), *one["timestamp"]) for one in chunks]
        cues = [
            {"text": text, "start": start, "end": start if end is None else end}
            for text, start, end in spans
        ]
        whole = all(len(text.split()) < 2 for text, _, _ in spans)
        return in_turns(_words(cues)) if whole else list(_segments(cues))
    return None


def _deepgram(data: Mapping[str, Any]) -> list[Turn] | None:
    results = data.get("results")
    if not (isinstance(results, dict) and "channels" in results):
        return None
    if results.get("utterances"):
        return list(_segments(results["utterances"]))
    turns = []
    for channel in results["channels"]:
        turns += in_turns(_words(channel["alternatives"][0].get("words") or ()))
    return turns


def _aws(data: Mapping[str, Any]) -> list[Turn] | None:
    results = data.get("results")
    if "jobName" in data and not results:
        _wait(data.get("status"))
    if not (isinstance(results, dict) and "items" in results):
        return None
    return _items(results["items"])


def _speechmatics(data: Mapping[str, Any]) -> list[Turn] | None:
    results = data.get("results")
    if not (isinstance(results, list) and "format" in data):
        return None
    return _items(results)


def _items(items: Iterable[Mapping[str, Any]]) -> list[Turn]:
    """Words and punctuation as items of one list, each with its alternatives."""
    words: list[Word] = []
    for item in items:
        best = item["alternatives"][0] if item.get("alternatives") else {"content": ""}
        said = str(best["content"])
        if item["type"] == "punctuation":
            if words:
                words[-1]["text"] += said
        elif said:
            names = (item.get("speaker_label"), item.get("channel_label"), best.get("speaker"))
            speaker = next((name for name in names if name is not None), None)
            words += _words([{**item, "text": said, "speaker": speaker}])
    return in_turns(words)


def _google(data: Mapping[str, Any]) -> list[Turn] | None:
    inner = data.get("response")
    results = (inner if isinstance(inner, dict) else data).get("results")
    if not _hold(results, "alternatives"):
        return None
    each = [(one.get("alternatives") or [{}])[0].get("words") or [] for one in results]
    if len(each) > 1 and len(each[-1]) == sum(map(len, each[:-1])):
        each = each[-1:]  # with speakers, the last result repeats all words
    return in_turns(
        word
        for words in each
        for word in _words(
            {
                "text": one["word"],
                "start": _duration(one, "start"),
                "end": _duration(one, "end"),
                "speaker": one.get("speakerLabel", one.get("speakerTag")),
            }
            for one in words
        )
    )


def _duration(word: Mapping[str, Any], edge: str) -> float:
    """Seconds, as "1.200s" or in two numbers; what is not there is 0."""
    names = (f"{edge}Time", f"{edge}Offset", f"{edge}_time", f"{edge}_offset")
    told = next((word[name] for name in names if name in word), "0s")
    if isinstance(told, Mapping):
        return float(told.get("seconds", 0)) + float(told.get("nanos", 0)) / 1e9
    return float(str(told).removesuffix("s"))


def _rev(data: Mapping[str, Any]) -> list[Turn] | None:
    if not _hold(data.get("monologues"), "elements"):
        return None
    words: list[Word] = []
    for one in data["monologues"]:
        for item in one["elements"]:
            if item["type"] == "punct":
                if words:
                    words[-1]["text"] += str(item["value"]).strip()
            else:
                names = {"text": item["value"], "start": item.get("ts"), "end": item.get("end_ts")}
                words += _words([{**names, "speaker": one.get("speaker")}])
    return in_turns(words)


def _soniox(data: Mapping[str, Any]) -> list[Turn] | None:
    if not _hold(data.get("tokens"), "text"):
        return None
    words: list[Word] = []  # a token that begins with a space begins a word
    for token in data["tokens"]:
        said = str(token["text"])
        if token.get("start_ms") is None or not said.strip():
            continue  # a mark
        if words and not said.startswith(" "):
            words[-1]["text"] += said
            words[-1]["end"] = token["end_ms"]
        else:
            words.append({"text": said, "start": token["start_ms"], "end": token["end_ms"],
                          "speaker": token.get("speaker")})  # fmt: skip
    return in_turns(_words(words, 0.001))


def _assemblyai(data: Mapping[str, Any]) -> list[Turn] | None:
    known = {"audio_duration", "audio_url", "acoustic_model", "language_model", "speech_model",
             "language_code", "status"}  # fmt: skip
    places = ("utterances", "sentences", "paragraphs", "words")
    if not (data.keys() & known and data.keys() & {*places, "text"}):
        return None
    _wait(data.get("status"))
    place = next((name for name in places if data.get(name)), None)
    if place is None:
        if data.get("text"):
            return None
        if any(isinstance(data.get(name), list) for name in places):
            return []
        raise SidecarError("its transcript is not ready: fetch it again later")
    scale = 0.001 if _in_milliseconds(data[place]) else 1.0
    if place == "words":
        return in_turns(_words(data["words"], scale))
    return list(_segments(data[place], scale))


def _in_milliseconds(items: Iterable[Mapping[str, Any]]) -> bool:
    return all(type(item[name]) is int for item in items for name in ("start", "end"))


_FORMS: Mapping[str, Callable[[Mapping[str, Any]], list[Turn] | None]] = {
    "Deepgram's JSON": _deepgram,
    "AWS Transcribe's JSON": _aws,
    "Speechmatics' JSON": _speechmatics,
    "Google's JSON": _google,
    "Rev AI's JSON": _rev,
    "Soniox's JSON": _soniox,
    "AssemblyAI's JSON": _assemblyai,
    "Whisper's JSON": _whisper,
}
