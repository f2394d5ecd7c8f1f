"""Saving a transcript as text, captions or JSON, and reading such a file back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rtkit.boundary.files import replacing
from rtkit.boundary.text import short_name, unknown
from rtkit.services.messages import Begin
from rtkit.services.service import public_part
from rtkit.session import Session, check_session
from rtkit.views.captions import as_srt, as_vtt

__all__ = ["save_transcript"]


def save_transcript(session: Session, path: str | Path | None = None) -> Path:
    """Save the transcript to a file, in the format of its suffix, and return its path.

    Parameters
    ----------
    session : Session
    path : str or Path, optional
        ``.txt`` (what was streamed and how, then one line per turn), ``.srt`` or ``.vtt``
        (captions), or ``.json`` (turns and words with their times, in the format of a reference).
        Corrected by hand, each of them can serve as the reference of `rtkit.wer`. For a folder (by
        default, the current one), the file is ``RECORDING_ID.txt`` in it, with the service's ID of
        the session.

    Raises
    ------
    ValueError
        If the suffix is unknown, the session has no ID to name the file after, captions are
        requested for a turn without word times, or the file would be mistaken for the recording's
        reference.
    """
    check_session(session)
    path = Path() if path is None else Path(path)
    if path.is_dir():
        path = path / _default_name(session)
    write = _FORMATS.get(path.suffix.lower())
    if write is None:
        raise ValueError(unknown("suffix", path.suffix, _FORMATS))
    recording = Path(session.settings.recording)
    if path.name in (f"{recording.name}.json", f"{recording.stem}.json"):
        raise ValueError(
            f"{path.name} is the name of the reference of {recording.name}, and a transcript "
            f"there would be taken for it; use another name, such as {recording.stem}_heard.json"
        )
    text = write(session)
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8", newline="\n")
    return path


def _session_id(session: Session) -> str | None:
    return next((reply.id for _, reply in session.replies if isinstance(reply, Begin)), None)


def _default_name(session: Session) -> str:
    name = _session_id(session)
    if not name:
        raise ValueError(
            "the session never began, so it has no id to name a file after; give a file name"
        )
    # What the service says goes into no path unchecked.
    stem = short_name(Path(session.settings.recording).stem)
    return f"{stem}_{re.sub(r'[^A-Za-z0-9-]', '-', name)}.txt"


def _as_text(session: Session) -> str:
    settings = session.settings
    lines = [
        f"Session: {_session_id(session) or 'none, it never began'}",
        f"Audio file: {settings.recording}",
        f"Audio duration: {settings.seconds:.3f} s{_beginning(session)}",
        f"Started: {session.started}",
        f"Ended: {_ending(session)}",
        "",
        "Settings",
        *[f"  {name}: {_written(value)}" for name, value in _asked_for(session).items()],
        "",
        "Transcript",
        *[
            f"[Turn #{number}]: {' '.join(turn.transcript.split())}"
            for number, turn in enumerate(session.turns, start=1)
        ],
    ]
    return "\n".join(lines) + "\n"


def _as_json(session: Session) -> str:
    begin = session.settings.start
    turns = [
        {
            "start": _in_recording(begin, turn.words[0].start) if turn.words else None,
            "end": _in_recording(begin, turn.words[-1].end) if turn.words else None,
            "text": turn.transcript,
            "words": [
                {
                    "text": word.text,
                    "start": _in_recording(begin, word.start),
                    "end": _in_recording(begin, word.end),
                    "confidence": word.confidence,
                }
                for word in turn.words
            ],
        }
        for turn in session.turns
    ]
    data = {
        "session": _session_id(session),
        "file": session.settings.recording,
        "duration": session.settings.seconds,
        "started": session.started,
        "ended": _ending(session),
        "settings": _asked_for(session),
        "transcript": session.transcript,
        "turns": turns,
    }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def _in_recording(begin: float, time: float | None) -> float | None:
    """In seconds of the recording, where the service says when."""
    return None if time is None else round(begin + time, 3)


def _beginning(session: Session) -> str:
    return f", from {session.settings.start:.3f} s on" if session.settings.first else ""


def _ending(session: Session) -> str:
    if session.ending is None:
        return "cut off"
    return ": ".join(filter(None, (session.ending.how, session.ending.error)))


def _asked_for(session: Session) -> dict[str, Any]:
    """The settings, without those in the heading and without secrets."""
    known = asdict(session.settings)
    for said in ("recording", "samples", "calibration"):
        del known[said]
    return {**known, "service": public_part(known["service"])}


def _written(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


_FORMATS: Mapping[str, Callable[[Session], str]] = {
    ".txt": _as_text,
    ".srt": as_srt,
    ".vtt": as_vtt,
    ".json": _as_json,
}
