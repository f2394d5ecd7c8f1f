"""What the embedded service recognizes in audio: a script's words, or speech by energy.

A real recognizer, which takes computing time, is in `recognizer`.

Engines receive audio in order and return sounds in the order of their positions. Positions are
seconds of audio from the start of the session. Nothing here knows of time: the same audio gives the
same sounds at any pace and in any chunks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np

from rtkit.reference import Reference

__all__ = [
    "Energy",
    "Engine",
    "Guess",
    "Onset",
    "Phrase",
    "Script",
    "SlowEngine",
    "Sound",
    "Spoken",
]


@dataclass(frozen=True, slots=True)
class Onset:
    """Speech begins: silence, if there was any, is over."""

    position: float


@dataclass(frozen=True, slots=True)
class Spoken:
    """A word is recognized once the audio up to `position` has arrived.

    `confidence` is that of a turn's end after this word; `final` means that the text will not
    change; `speaker` is who said it, where that is known.
    """

    position: float
    text: str
    start: float
    end: float
    confidence: float = 0.05
    final: bool = True
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Guess:
    """A word as a recognizer understands it; `confidence` is that of the word."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Phrase:
    """What was said since the last final phrase, as recognized at `position`.

    It replaces the phrase before it, unless that was `final`; then speech has ended too, and
    `confidence` is that of a turn's end after its last word.
    """

    position: float
    words: tuple[Guess, ...]
    final: bool = False
    confidence: float = 0.0


Sound = Onset | Spoken | Phrase


@runtime_checkable
class SlowEngine(Protocol):
    """An engine that takes time: it is asked in order, and replies later, in the same order."""

    def ask(self, samples: np.ndarray | None, after: float) -> None:
        """Process the next `samples`, or (None) finish what is open, once `after` has passed."""


class Engine(Protocol):
    """What a conversation listens with."""

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        """The sounds in the next `samples` (int16, mono)."""

    def finish(self) -> Iterator[Sound]:
        """Finish what is open; speech that continues begins again."""


class Script:
    """Reports the words of a reference, each once the audio that holds it has arrived."""

    def __init__(self, reference: Reference, rate: int) -> None:
        self._sounds = sorted(_sounds(reference), key=lambda sound: sound.position)
        self._rate = rate
        self._samples = 0
        self._next = 0

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        self._samples += len(samples)
        return self.until(self._samples)

    def until(self, samples: int) -> Iterator[Sound]:
        """The words that become known once this many samples have arrived."""
        # Half a sample of grace: a word that ends at the chunk's end lies in that chunk.
        heard = (samples + 0.5) / self._rate
        while self._next < len(self._sounds) and self._sounds[self._next].position <= heard:
            yield self._sounds[self._next]
            self._next += 1

    def leave_out(self, until: float, now: float) -> Iterator[Sound]:
        """Skip words that begin before `until`; words that had begun are dropped."""
        begun, coming = self._sounds[: self._next], self._sounds[self._next :]
        if not coming or coming[0].position >= until:
            return
        onsets = {sound.position for sound in begun if isinstance(sound, Onset)}
        self._sounds, self._next = [], 0
        for sound in coming:
            start = sound.start if isinstance(sound, Spoken) else sound.position
            if start >= until:
                self._sounds.append(sound)
            elif isinstance(sound, Spoken) and start in onsets:
                yield Phrase(now, (), final=True)

    def finish(self) -> Iterator[Sound]:
        return iter(())


def _sounds(reference: Reference) -> Iterator[Onset | Spoken]:
    for word, turn in zip(reference.words, reference.owners, strict=True):
        yield Onset(word.start)
        confidence = 0.9 if word.text.rstrip("\"')”’").endswith((".", "?", "!")) else 0.05
        who = reference.turns[turn].speaker
        yield Spoken(word.end, word.text, word.start, word.end, confidence, speaker=who)


class Energy:
    """Marks speech by its energy above the noise floor, and says no more than that.

    A frame is speech from the `threshold` on of a probability that grows with the frame's level
    above the floor: ln(p / (1 - p)) = ln(0.4 / 0.6) + (level - floor - 12 dB) / 4 dB. So the
    service's usual threshold of 0.4 stands for 12 dB, one of 0.9 for 22 dB. Digital silence is
    never speech.
    """

    FRAME = 0.02
    ONSET_FRAMES = 3  # a click is shorter
    GAP_FRAMES = 10  # the closure of a plosive is shorter
    ABOVE_FLOOR = 12.0  # dB, at the usual threshold,
    USUAL = 0.4
    SLOPE = 4.0  # and how many more for each unit of the logit
    QUIETEST = -52.0  # dB of full scale; below it nothing is speech

    def __init__(self, rate: int) -> None:
        self._frame = round(self.FRAME * rate)
        self._rest = np.empty(0, dtype=np.int16)
        self._frames = 0
        self._floor = -55.0
        self._loud = self._quiet = 0
        self._start: float | None = None
        self.threshold = self.USUAL

    @property
    def threshold(self) -> float:
        """Of the probability of speech, 0 to 1; it may change at any time."""
        return self._threshold

    @threshold.setter
    def threshold(self, threshold: float) -> None:
        self._threshold = threshold
        self._above = self.ABOVE_FLOOR + self.SLOPE * (_logit(threshold) - _logit(self.USUAL))

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        samples = np.concatenate([self._rest, samples])
        whole = len(samples) // self._frame
        frames = samples[: whole * self._frame].reshape(whole, self._frame)
        self._rest = samples[whole * self._frame :]
        power = np.mean(np.square(frames.astype(np.float64) / 32768), axis=1)
        for level in 10 * np.log10(power + 1e-10):
            self._frames += 1
            yield from self._frame_heard(float(level))

    def finish(self) -> Iterator[Sound]:
        if self._start is not None:
            self._loud = 0
            yield self._spoken()

    def _frame_heard(self, level: float) -> Iterator[Sound]:
        loud = level > max(self._floor + self._above, self.QUIETEST)
        # Down at once, up slowly: speech dips to the floor many times a second.
        self._floor += 0.3 * (level - self._floor) if level < self._floor else 0.03
        self._loud, self._quiet = (self._loud + 1, 0) if loud else (0, self._quiet + 1)
        now = self._frames * self.FRAME
        if self._start is None and self._loud == self.ONSET_FRAMES:
            self._start = now - self.ONSET_FRAMES * self.FRAME
            yield Onset(now)
            text = f"[speech from {self._start:.1f} s]"
            yield Spoken(now, text, self._start, now, final=False)
        elif self._start is not None and self._quiet == self.GAP_FRAMES:
            yield self._spoken()

    def _spoken(self) -> Spoken:
        assert self._start is not None
        now = self._frames * self.FRAME
        start, end = self._start, now - self._quiet * self.FRAME
        self._start = None
        return Spoken(now, f"[speech {start:.1f}-{end:.1f} s]", start, end)


def _logit(probability: float) -> float:
    if probability in (0, 1):
        return math.inf if probability else -math.inf
    return math.log(probability / (1 - probability))
