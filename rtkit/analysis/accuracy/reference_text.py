"""Reference text from captions, columns, saved transcripts, or plain text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from rtkit.audio import kind_of
from rtkit.audio.file_types import START
from rtkit.reference import (
    TAKEN,
    Reference,
    SidecarError,
    are_captions,
    check_within,
    has_text_alone,
    read_cues,
    read_json,
    read_reference,
    read_text,
    reference_in,
    without_labels,
)
from rtkit.session import Session

__all__ = ["is_path", "read_file", "said_in"]

ROUNDING = 0.001  # seconds, of the times in captions
PLAIN = (".txt", ".text", "")
CAPTIONS = (".srt", ".vtt", ".sbv")
REFERENCES = (".json", ".stm", ".ctm", ".rttm", ".tsv", ".csv", ".textgrid")
# What people have beside these, and what is never what was said.
OTHERS = re.compile(
    r"\.(jsonl|eaf|trs|trn|lab|xml|html?|docx?|odt|rtf|pdf|md|xlsx?|ya?ml|ass|ssa|lrc|ttml|dfxp|"
    r"parquet|pkl|npy|wav|mp3|flac|ogg|opus|m4a|mp4|webm|aiff?|caf)$",
    re.IGNORECASE,
)


def is_path(text: str) -> bool:
    """Whether a string is a file's name rather than what was said."""
    if "\n" in text or not text.strip() or text != text.strip():
        return False
    suffix = Path(text).suffix.lower()
    if suffix in (*PLAIN[:-1], *CAPTIONS, *REFERENCES) or OTHERS.search(text):
        return True
    return " " not in text and bool(re.search(r"[/\\]|\w\w\.[A-Za-z]\w{1,9}$", text))


def read_file(path: Path, session: Session) -> Reference | list[str] | str:
    """What a file says was spoken: a reference, turns' texts, or text.

    Raises SidecarError if it cannot be read or is of something else than what was streamed.
    """
    suffix = path.suffix.lower()
    if suffix not in (*PLAIN, *CAPTIONS, *REFERENCES):
        raise SidecarError(f"{path} is not in a format that can be scored: {TAKEN}.")
    if suffix == ".json":
        return _in_json(path, session)
    if suffix in REFERENCES:
        found = read_reference(path, recording=Path(session.settings.recording).stem)
        return _streamed(found, session, str(path))
    text = read_text(path)
    kind = kind_of(text[:START].encode(), least_text=1)
    if kind is not None and kind.name != "text":
        if kind.name == "JSON text":
            return _in_json(path, session)
        raise SidecarError(f"{path} is {kind.name}, not a transcript: {TAKEN}.")
    if suffix in CAPTIONS:
        return _captions(text, session, str(path))
    return said_in(text, session, str(path))


def _in_json(path: Path, session: Session) -> Reference | list[str] | str:
    data = read_json(path)
    if has_text_alone(data):
        return str(data["transcript"])
    if isinstance(data, str) or (isinstance(data, list) and all(isinstance(x, str) for x in data)):
        return data
    if (
        isinstance(data, dict)
        and isinstance(data.get("text"), str)
        and not any(isinstance(one, list) and one for one in data.values())
    ):  # without times, as OpenAI's
        return str(data["text"])
    turns = _saved_turns(data, session)
    if turns is not None:
        return turns
    return _streamed(read_reference(path), session, str(path))


def said_in(text: str, session: Session, name: str = "the reference") -> Reference | str:
    """What a text says was spoken while the session streamed: a reference, or text, a line each.

    Of captions, those that begin within; of columns (STM, CTM, TSV), what lies within; of a
    transcript that `save_transcript` wrote, its turns; anything else as it stands, but for the
    names of speakers. Raises ValueError if there are captions and none begins within.
    """
    text = "\n".join(text.removeprefix("\ufeff").splitlines())
    if re.match(r"Session: ", text) and (
        heading := re.search(r"^Transcript[ \t]*$", text, re.MULTILINE)
    ):
        text = text[heading.end() :]
    elif are_captions(text):
        return _captions(text, session, name)
    else:
        found = reference_in(text, None, Path(session.settings.recording).stem)
        if found is not None:
            return _streamed(found, session, name)
    text = re.sub(r"^\[Turn #\d+\]:[ \t]*", "", text, flags=re.MULTILINE)
    return "\n".join(without_labels(text.splitlines()))


def _captions(text: str, session: Session, name: str) -> str:
    start, stop = stretch(session)
    try:
        found = read_cues(text)
    except SidecarError as error:
        raise SidecarError(f"{name} cannot be used: {error}.") from error
    if not found and text.removeprefix("WEBVTT").strip():
        raise SidecarError(f"{name} cannot be used: it has no captions.")
    settings = session.settings
    if found and settings.total is not None:
        length = settings.total / settings.rate
        if found[-1].start > length + ROUNDING:
            raise SidecarError(
                f"{name} has its last caption at {found[-1].start:g} s, and the recording is "
                f"{length:.2f} s long: they belong to another recording, or to another "
                f"version of it."
            )
    within = [cue for cue in found if start - ROUNDING <= cue.start < stop + ROUNDING]
    if found and not within:
        raise ValueError(
            f"no caption begins within what was streamed, {start:.3f} to {stop:.3f} s of the "
            "recording; give captions with times from the recording's start"
        )
    lines = [" ".join(cue.lines) for cue in within]
    return "\n".join(without_labels(lines))


def _streamed(reference: Reference, session: Session, name: str) -> Reference:
    """What of a reference lies in what was streamed."""
    settings, (start, stop) = session.settings, stretch(session)
    if settings.total is not None:
        check_within(reference, settings.total / settings.rate, name, "the recording")
    if reference.turns and not reference.transcript.strip():
        raise SidecarError(f"{name} says who spoke when, but not what: there is nothing to score.")
    cut = reference.excerpt(start, stop)
    if reference.transcript.strip() and not cut.transcript.strip():
        first = min(turn.start for turn in reference.turns)
        raise SidecarError(
            f"{name} has no words within what was streamed, {start:.3f} to {stop:.3f} s of the "
            f"recording; its first begin at {first:g}. Times are seconds: divide milliseconds by "
            "1000."
        )
    return cut


def _saved_turns(data: Any, session: Session) -> list[str] | None:
    """The turns' texts of JSON from `save_transcript`, if it is of what this session streamed.

    They are taken whole then, also where a word has no time or its time lies beyond the audio.
    """
    settings = session.settings
    try:
        saved = data["settings"]["first"], data["settings"]["rate"], data["duration"]
        if saved == (settings.first, settings.rate, settings.seconds):
            return [str(turn["text"]) for turn in data["turns"]]
    except (KeyError, TypeError):
        pass  # somebody else's, or a turn that was mangled: a reference is to tell of it
    return None


def stretch(session: Session) -> tuple[float, float]:
    """What was streamed, in seconds of the recording."""
    return session.settings.start, session.settings.start + session.settings.seconds
