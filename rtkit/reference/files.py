"""References in files: a sidecar beside a recording, or a transcript in another format."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rtkit.reference.columns import COLUMNS, looks_like, textgrid_turns
from rtkit.reference.services import turns_in
from rtkit.reference.spoken import Reference, SidecarError, has_text_alone, is_missing

__all__ = ["find_reference", "read_json", "read_reference", "read_text", "reference_in"]

TAKEN = (
    "rtkit reads JSON (its own, and that of Whisper, WhisperX, Hugging Face, AssemblyAI, AWS, "
    "Deepgram, Google, Rev AI, Soniox and Speechmatics), STM, CTM, "
    "RTTM, TSV, TextGrid, SRT, VTT, SBV and plain text (.txt)"
)


def read_reference(path: Path, *, recording: str | None = None) -> Reference:
    """Read a reference from a file: JSON, or what its suffix says.

    `recording` is the one that is meant where a file tells of several, by its name without suffix;
    the file's own without it. Raises SidecarError if it does not hold a reference.
    """
    suffix = path.suffix.lower()
    try:
        if suffix == ".textgrid":
            return Reference.from_json({"turns": textgrid_turns(read_text(path))})
        if suffix in COLUMNS:
            said = reference_in(read_text(path), suffix, recording or path.stem)
            assert said is not None
            return said
        return reference_of(read_json(path))
    except SidecarError as error:
        if str(error).startswith(str(path)):
            raise
        raise SidecarError(f"{path} cannot be used: {error}.") from error


def reference_of(data: Any) -> Reference:
    """The reference that JSON holds, in rtkit's own form or that of a service."""
    turns = turns_in(data)
    return Reference.from_json(data if turns is None else {"turns": turns})


def reference_in(text: str, suffix: str | None, recording: str) -> Reference | None:
    """The reference in a text with columns; None where it looks like none of them."""
    kind = suffix if suffix in COLUMNS else looks_like(text)
    if kind is None:
        return None
    return Reference.from_json({"turns": COLUMNS[kind](text, recording)})


def read_text(path: Path) -> str:
    """Read text from a file: UTF-8, UTF-16 or UTF-32; raises SidecarError."""
    held = _held(path)
    try:
        return held.decode(json.detect_encoding(held)).replace("\r\n", "\n")
    except UnicodeError as error:
        raise SidecarError(
            f"{path} cannot be read: it is not UTF-8 text. Save it as UTF-8, for example: "
            f"iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW"
        ) from error


def read_json(path: Path) -> Any:
    """Read any JSON from a file; raises SidecarError."""
    held = _held(path)
    try:
        return json.loads(held)
    except (ValueError, RecursionError) as error:  # of JSON's, of UTF-8's
        raise SidecarError(f"{path} cannot be used: {error}.") from error


def _held(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        seen = "" if path.is_absolute() else f", searched from {Path.cwd()}"
        raise SidecarError(f"{path} cannot be read: {error.strerror}{seen}.") from error


def find_reference(recording: Path) -> Reference | None:
    """The reference in `NAME.EXT.json` or `NAME.json` beside `recording`; None without one.

    Neither is a file without any words with times, if it is somebody's metadata, a transcript
    that is not there yet, or a tool's output.

    Raises
    ------
    SidecarError
        If there is such a file and it does not hold a reference.
    """
    for sidecar in (recording.with_name(recording.name + ".json"), recording.with_suffix(".json")):
        if sidecar != recording and _is_there(sidecar):
            try:
                if (found := _sidecar(sidecar)) is not None:
                    return found
            except SidecarError as error:
                raise SidecarError(
                    f"{error} It is beside {recording.name}: correct it, or move it away to "
                    f"stream without a reference."
                ) from error
    return None


def _sidecar(path: Path) -> Reference | None:
    data = read_json(path)
    if is_missing(data) and not has_text_alone(data):
        return None
    if isinstance(data, dict) and data.keys() & {"turns", "transcript"}:
        return read_reference(path)
    try:
        turns = turns_in(data)
    except SidecarError:
        return None  # a service's word that it has not finished
    if turns is None and isinstance(data, dict) and "words" not in data:
        return None  # sound JSON that tells of no words: somebody's metadata
    found = read_reference(path)
    return found if found.words or not found.turns else None


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is longer than names can be, or a folder that is closed
        return False
