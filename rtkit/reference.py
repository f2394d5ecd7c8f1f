"""What was truly said, and when: the words beside a recording.

A reference comes from a sidecar, a JSON file beside the recording::

    {"transcript": "...",
     "turns": [{"start": 0.29, "end": 2.16, "text": "...", "speaker": "caller",
                "words": [{"text": "And", "start": 0.29, "end": 0.63}, ...]}, ...]}

Times are seconds of audio from the start of the recording. ``{"words": [...]}`` alone is one turn.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rtkit.boundary.text import clean, told
from rtkit.boundary.values import number, text

__all__ = [
    "Reference",
    "SidecarError",
    "SpokenTurn",
    "SpokenWord",
    "check_within",
    "find_reference",
    "has_text_alone",
    "read_json",
    "read_reference",
]

FORM = '{"turns": [{"start", "end", "text", "words": [{"text", "start", "end"}]}]}'


SLACK = 0.05  # seconds that a word may begin after the end: lengths are rounded
LATEST = 1e7  # seconds into a recording, of which none is that long


class SidecarError(ValueError):
    """A sidecar that cannot be used; the message names the file, the fault and the fix."""

    def __init__(self, sentence: str) -> None:
        super().__init__(clean(sentence))


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word as it was spoken; `start` and `end` in seconds of audio."""

    text: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """A run of words by one speaker; `start` and `end` in seconds of audio."""

    start: float
    end: float
    text: str
    words: tuple[SpokenWord, ...]
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """The turns of a recording, in order."""

    turns: tuple[SpokenTurn, ...]

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        return tuple(word for turn in self.turns for word in turn.words)

    @property
    def transcript(self) -> str:
        return " ".join(turn.text for turn in self.turns)

    def excerpt(self, start: float, stop: float) -> Reference:
        """The words that lie wholly within `start` to `stop`, counted from `start`.

        A word that the cut goes through is left out: a listener cannot have heard it whole.
        """
        return Reference(tuple(_cut(self.turns, start, stop)))

    def to_json(self) -> dict[str, Any]:
        return {"transcript": self.transcript, "turns": [asdict(turn) for turn in self.turns]}

    @classmethod
    def from_json(cls, data: Any) -> Reference:
        """Read the form above.

        Raises
        ------
        SidecarError
            If a key is missing, a time is not a number, or times run backwards.
        """
        if has_text_alone(data):
            raise SidecarError(
                'it has a "transcript" and does not say when its words were spoken, which a '
                f"reference must; it takes {FORM}. To score words without times: "
                "rtkit.wer(session, PATH)"
            )
        try:
            turns = tuple(_turn(item) for item in _spoken(data))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise SidecarError(
                f"it is not a reference ({type(error).__name__}: {told(error)}); it takes {FORM}"
            ) from error
        last = 0.0
        for word in (word for turn in turns for word in turn.words):
            if not (last <= word.end <= LATEST and 0 <= word.start <= word.end):
                raise SidecarError(
                    f"the word {word.text!r} at {word.start:g}-{word.end:g} s runs backwards or "
                    "ends before the word before it; words go in the order in which they end"
                )
            last = word.end
        return cls(turns)


def read_reference(path: Path) -> Reference:
    """Read a reference from a file.

    Raises
    ------
    SidecarError
        If there is no such file, or it does not hold a reference.
    """
    data = read_json(path)
    try:
        return Reference.from_json(data)
    except SidecarError as error:
        raise SidecarError(f"{path} cannot be used: {error}.") from error


def read_json(path: Path) -> Any:
    """Read any JSON from a file.

    Raises
    ------
    SidecarError
        If there is no such file, or it is no JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise SidecarError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:  # of JSON's, of UTF-8's
        raise SidecarError(f"{path} cannot be used: {error}.") from error


def find_reference(recording: Path) -> Reference | None:
    """The reference in `NAME.EXT.json` or `NAME.json` beside `recording`; None without one.

    Raises
    ------
    SidecarError
        If there is such a file and it does not hold a reference.
    """
    for sidecar in (recording.with_name(recording.name + ".json"), recording.with_suffix(".json")):
        if sidecar != recording and _is_there(sidecar):
            try:
                if _is_something_else(sidecar):
                    continue
                return read_reference(sidecar)
            except SidecarError as error:
                raise SidecarError(
                    f"{error} It lies beside {recording.name}: mend it, "
                    "or move it away to go without a reference."
                ) from error
    return None


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a name that is longer than names can be, or a folder that is closed
        return False


def check_within(reference: Reference, length: float, name: str, of: str) -> None:
    """Refuse words that begin beyond the end of what they were spoken in, as milliseconds do.

    Raises
    ------
    SidecarError
        Beginning with `name`, which says where the words come from; `of` is `length` seconds long.
    """
    last = max((word.start for word in reference.words), default=0.0)
    if last > length + SLACK:
        fix = (
            "Times are seconds: divide milliseconds by 1000."
            if last / 1000 <= length
            else "It is of another recording, or of another cut of it."
        )
        raise SidecarError(
            f"{name} has its last word at {last:g} s, and {of} is {length:.2f} s long. {fix}"
        )


def _is_something_else(sidecar: Path) -> bool:
    """Whether it is sound JSON that tells of no words: somebody's metadata."""
    data = read_json(sidecar)
    return isinstance(data, dict) and not data.keys() & {"turns", "words", "transcript"}


def has_text_alone(data: Any) -> bool:
    """Whether it says what was spoken, and nothing of when."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("transcript"), str)
        and not data.keys() & {"turns", "words"}
    )


def _spoken(data: Any) -> list[Any]:
    """The turns as they stand there; words alone make one."""
    if isinstance(data, dict) and "turns" not in data and "words" in data:
        words, text = data["words"], data.get("transcript")
        if not words:
            return []
        ends = {"start": words[0]["start"], "end": words[-1]["end"]}
        return [{**ends, "text": text, "words": words}]
    turns: list[Any] = data["turns"]
    return turns


def _turn(item: Mapping[str, Any]) -> SpokenTurn:
    words = tuple(
        SpokenWord(text(word["text"]), number(word["start"]), number(word["end"]))
        for word in item["words"]
    )
    said = text(item.get("text") or " ".join(word.text for word in words))
    speaker = item.get("speaker")
    start, end = number(item["start"]), number(item["end"])
    if not -LATEST <= start <= end <= LATEST:
        raise ValueError(f"a turn cannot last from {start:g} to {end:g} s")
    return SpokenTurn(start, end, said, words, None if speaker is None else text(speaker))


def _cut(turns: tuple[SpokenTurn, ...], start: float, stop: float) -> Iterator[SpokenTurn]:
    for turn in turns:
        words = tuple(
            SpokenWord(word.text, word.start - start, word.end - start)
            for word in turn.words
            if word.start >= start and word.end <= stop
        )
        if not words:
            continue
        whole = len(words) == len(turn.words)
        yield SpokenTurn(
            turn.start - start if whole else words[0].start,
            turn.end - start if whole else words[-1].end,
            turn.text if whole else " ".join(word.text for word in words),
            words,
            turn.speaker,
        )
