"""References: what was said, and when.

A reference comes from a sidecar, a JSON file beside the recording::

    {"transcript": "...",
     "turns": [{"start": 0.29, "end": 2.16, "text": "...", "speaker": "caller",
                "words": [{"text": "And", "start": 0.29, "end": 0.63}, ...]}, ...]}

Times are seconds of audio from the start of the recording. ``{"words": [...]}`` alone is one turn.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from rtkit.boundary.text import clean, told
from rtkit.boundary.values import number, text

__all__ = [
    "FORM",
    "Reference",
    "SidecarError",
    "SpokenTurn",
    "SpokenWord",
    "check_within",
    "has_text_alone",
    "is_missing",
]

FORM = '{"turns": [{"start", "end", "text", "words": [{"text", "start", "end"}]}]}'


SLACK = 0.05  # seconds that a word may begin after the end: lengths are rounded
LATEST = 1e7  # seconds into a recording, of which none is that long


class SidecarError(ValueError):
    """A reference file that cannot be used; the message gives the file, the problem and the fix."""

    def __init__(self, sentence: str) -> None:
        super().__init__(clean(str(sentence)))


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
    """The turns spoken in a recording, in the order in which they begin.

    A turn may lie within another one, as when a listener says "mhm". A turn may have no words with
    times; then it can be scored, but no latency is measured from it.
    """

    turns: tuple[SpokenTurn, ...]

    @property
    def words(self) -> tuple[SpokenWord, ...]:
        """All words, in the order of their ends, because people may talk at the same time.

        Blanks and bare punctuation are not words.
        """
        return tuple(word for word, _ in self._placed())

    @property
    def owners(self) -> tuple[int, ...]:
        """The turn that each of `words` belongs to, counted from 0."""
        return tuple(turn for _, turn in self._placed())

    def _placed(self) -> list[tuple[SpokenWord, int]]:
        placed = [
            (word, number)
            for number, turn in enumerate(self.turns)
            for word in turn.words
            if any(map(str.isalnum, word.text))
        ]
        return sorted(placed, key=lambda item: item[0].end)

    @property
    def transcript(self) -> str:
        return " ".join(turn.text for turn in self.turns)

    def excerpt(self, start: float, stop: float) -> Reference:
        """The words that lie completely within `start` to `stop`, with times from `start`.

        A word that is cut is left out, because it cannot be recognized. A turn without words is
        included if it begins within.
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
                'it has a "transcript" but not the times of its words, which a reference needs; '
                f"the format is {FORM}. To score words without times: "
                "rtkit.wer(session, PATH)"
            )
        if is_missing(data):
            raise SidecarError("its transcript is not ready: fetch it again later")
        if not (isinstance(data, dict) and data.keys() & {"turns", "words"}):
            raise SidecarError(
                f'it is not a reference: it has no "turns" and no "words"; the format is {FORM}'
            )
        try:
            turns = tuple(_turn(item) for item in _spoken(data))
        except (AttributeError, LookupError, TypeError, ValueError) as error:
            raise SidecarError(
                f"it is not a reference ({type(error).__name__}: {told(error)}); the format "
                f"is {FORM}"
            ) from error
        for turn in turns:
            last = 0.0
            for word in turn.words:
                if not (last <= word.end <= LATEST and 0 <= word.start <= word.end):
                    raise SidecarError(
                        f"the word {word.text!r} at {word.start:g}-{word.end:g} s ends before "
                        f"it begins, or before the previous word ends; sort the words of a "
                        f"turn by their ends"
                    )
                last = word.end
        return cls(tuple(sorted(turns, key=lambda turn: turn.start)))


def has_text_alone(data: Any) -> bool:
    """Whether it says what was spoken, and nothing of when."""
    return (
        isinstance(data, dict)
        and isinstance(data.get("transcript"), str)
        and all(data.get(place) is None for place in ("turns", "words"))
    )


def is_missing(data: Any) -> bool:
    """Whether it has a place for words, and nothing in it yet."""
    if not isinstance(data, dict):
        return False
    places = [data[name] for name in ("turns", "words") if name in data]
    return bool(places) and all(place is None for place in places)


def _spoken(data: Mapping[str, Any]) -> list[Any]:
    """The turns as they stand there; words alone make one."""
    if "turns" not in data:
        words, text = data["words"], data.get("transcript")
        if not words:
            return []
        ends = {"start": words[0]["start"], "end": words[-1]["end"]}
        return [{**ends, "text": text, "words": words}]
    turns: list[Any] = data["turns"]
    return turns


def _turn(item: Mapping[str, Any]) -> SpokenTurn:
    words = tuple(
        SpokenWord(
            text(word["word" if "word" in word else "text"]),
            number(word["start"]),
            number(word["end"]),
        )
        for word in item["words"]
    )
    said = text(item.get("text") or " ".join(word.text for word in words))
    speaker = item.get("speaker")
    start, end = number(item["start"]), number(item["end"])
    if not -LATEST <= start <= end <= LATEST:
        raise ValueError(f"a turn cannot span {start:g} to {end:g} s")
    return SpokenTurn(start, end, said, words, None if speaker is None else text(speaker))


def _cut(turns: tuple[SpokenTurn, ...], start: float, stop: float) -> Iterator[SpokenTurn]:
    for turn in turns:
        words = tuple(
            SpokenWord(word.text, word.start - start, word.end - start)
            for word in turn.words
            if word.start >= start and word.end <= stop
        )
        if not words:
            if not turn.words and start <= turn.start < stop:
                yield replace(turn, start=turn.start - start, end=turn.end - start)
            continue
        whole = len(words) == len(turn.words)
        yield SpokenTurn(
            turn.start - start if whole else words[0].start,
            turn.end - start if whole else words[-1].end,
            turn.text if whole else " ".join(word.text for word in words),
            words,
            turn.speaker,
        )


def check_within(reference: Reference, length: float, name: str, of: str) -> None:
    """Refuse words that begin beyond the end of what they were spoken in, as milliseconds do.

    Raises
    ------
    SidecarError
        Beginning with `name`, which says where the words come from; `of` is `length` seconds long.
    """
    starts = [turn.words[-1].start if turn.words else turn.start for turn in reference.turns]
    last = max(starts, default=0.0)
    if last > length + SLACK:
        fix = (
            "Times are seconds: divide milliseconds by 1000."
            if last / 1000 <= length
            else "It belongs to another recording, or to another version of it."
        )
        raise SidecarError(
            f"{name} has its last word at {last:g} s, and {of} is {length:.2f} s long. {fix}"
        )
