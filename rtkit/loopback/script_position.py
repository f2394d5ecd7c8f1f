"""A script that follows its recording: words are sent where their audio is, and only there.

A client's audio is located by its similarity to the recording, at any sample rate and level: it may
begin anywhere, skip audio, or reconnect after a break.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from rtkit.audio.clip import Clip
from rtkit.audio.opening import SUFFIXES, open_clip
from rtkit.loopback.engines import Onset, Script, Sound, Spoken
from rtkit.reference import Reference

__all__ = ["STRANGE", "Following", "Recording", "recording_beside"]

STRANGE = "[audio that is not the script's]"
FINE, COARSE = 4000, 2000  # Hz, of what is compared, and of what is searched
PARTS = 4  # of a period of these, in each of which the mean is taken
QUIET = 0.1  # of the recording's level; below it nothing is compared,
SILENT = 0.02  # and a client's sends nothing
OFTEN = 0.75  # seconds from one search to the next, at least
SEARCHES = 100  # of the whole recording in the time that it lasts, at most
LEAST_GAIN = 0.1  # that a client is taken for speaking with, until it is louder
SAME, FOUND = 0.5, 0.85  # likeness: of what was expected there, and of what was searched;
HINT = 0.4  # what may be that, before it is looked at more finely
WINDOW = 0.2  # seconds that are compared at least,
SHORTEST, LONGEST = 0.5, 1.0  # and searched,
KEPT = 2.5  # and kept, for what is found may have begun before


def recording_beside(script: Path) -> Path | None:
    """The recording that a script belongs to, by its name."""
    if script.with_suffix("").suffix.lower() in SUFFIXES:  # call.wav.json
        return script.with_suffix("") if script.with_suffix("").is_file() else None
    beside = (path for path in script.parent.iterdir() if path.stem == script.stem)
    return next((path for path in sorted(beside) if path.suffix.lower() in SUFFIXES), None)


class Recording:
    """What clients are expected to send, in memory.

    Raises
    ------
    AudioError
        If it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        clip: Clip = open_clip(path)
        edges = np.append(np.arange(0, clip.samples, clip.rate), clip.samples)
        self._pcm = np.frombuffer(b"".join(clip.chunks(edges)), dtype="<i2")
        self._rate = clip.rate
        self.seconds = clip.seconds
        self._level = _level(self._pcm) or 1.0

    def gain(self, heard: np.ndarray) -> float:
        """How loud it is beside the recording."""
        return _level(heard) / self._level

    def likeness(self, heard: np.ndarray, rate: int, at: float, gain: float = 1.0) -> float | None:
        """How similar `heard` is to the recording `at` a position, in seconds; None for silence."""
        mine = _band(heard, rate, FINE)
        first = max(0, math.floor(at * self._rate))
        last = max(first, math.ceil((at + len(heard) / rate) * self._rate) + 1)
        theirs = np.zeros(len(mine))
        there = _band(self._pcm[first:last], self._rate, FINE, at - first / self._rate)
        theirs[: len(there)] = there[: len(mine)]
        if _level(theirs) <= QUIET * self._level:  # a codec's noise is not the recording's
            return None if _level(mine) <= 2 * QUIET * gain * self._level else 0.0
        mine, theirs = mine - mine.mean(), theirs - theirs.mean()
        return float(mine @ theirs / (np.linalg.norm(mine) * np.linalg.norm(theirs) + 1e-9))

    def find(self, heard: np.ndarray, rate: int) -> float | None:
        """The position of `heard` in the recording, in seconds, if it is found."""
        wanted = _band(heard, rate, COARSE)
        band, spectrum, sums, squares = self._searched
        size, count = len(wanted), len(band) - len(wanted) + 1
        if count < 1:
            return None
        wanted = wanted - wanted.mean()
        length = 2 * (len(spectrum) - 1)
        alike = np.fft.irfft(spectrum * np.conj(np.fft.rfft(wanted, length)), length)[:count]
        spread = squares[size:] - squares[:-size] - (sums[size:] - sums[:-size]) ** 2 / size
        alike /= np.linalg.norm(wanted) * np.sqrt(
            np.maximum(spread, size * (QUIET * self._level) ** 2)
        )
        found, best = -1.0, 0.0
        for _ in range(3):  # between two samples of the search the likeness may be half
            peak = int(alike.argmax())
            if alike[peak] < HINT:
                break
            near = self._nearest(heard, rate, peak / COARSE, 1 / COARSE)
            found, best = max((found, best), near)
            alike[max(0, peak - 4) : peak + 5] = -1.0
        if found < HINT:
            return None
        found, best = self._nearest(heard, rate, best, 1 / FINE)
        return best if found >= FOUND else None

    def _nearest(
        self, heard: np.ndarray, rate: int, at: float, within: float
    ) -> tuple[float, float]:
        """The greatest likeness near there, and where that is."""
        places = at + within * np.linspace(-1, 1, 17)
        return max((self.likeness(heard, rate, one) or 0.0, float(one)) for one in places)

    @cached_property
    def _searched(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        band = _band(self._pcm, self._rate, COARSE)
        length = 1 << math.ceil(math.log2(len(band) + COARSE * LONGEST + 1))
        sums, squares = (np.concatenate([[0.0], np.cumsum(band**power)]) for power in (1, 2))
        return band, np.fft.rfft(band, length), sums, squares


def _band(samples: np.ndarray, rate: int, wanted: int, start: float = 0.0) -> np.ndarray:
    """The samples from `start` on at another rate, each a triangular mean over two of its periods.

    So what lies above the band, which another rate may not have, is 25 dB down.
    """
    integral = np.concatenate([[0.0], np.cumsum(samples, dtype=np.float64)])
    count = max(0, int((len(samples) / rate - start) * wanted + 1e-6) - 1)
    edges = (start + np.arange(PARTS * (count + 1) + 1) / (PARTS * wanted)) * rate
    means = np.diff(np.interp(edges, np.arange(len(integral)), integral)) * wanted / rate
    return np.convolve(means, np.ones(PARTS), "valid")[::PARTS][:count]


def _level(samples: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(samples, dtype=np.float64)))) if len(samples) else 0.0


class Following:
    """Reports a script's words where the client's audio is their recording.

    Parameters
    ----------
    reference : Reference
    recording : Recording
    rate : int
    starts : iterable of float
        Where sessions may well begin in the recording, in seconds.
    """

    def __init__(
        self, reference: Reference, recording: Recording, rate: int, starts: Iterable[float] = ()
    ) -> None:
        self._reference, self._recording, self._rate = reference, recording, rate
        self._starts = [0.0, *starts]  # until it is known which
        self._tail = np.empty(0, dtype=np.int16)
        self._samples = 0
        self._at, self._script = 0.0, Script(reference, rate)
        self._cut: list[Sound] = []  # of words that broke off
        self._unsure = 0.0  # seconds since what comes is not what was expected
        self._gain = LEAST_GAIN
        self._search_after = SHORTEST
        self._step = max(OFTEN, recording.seconds / SEARCHES)
        self._strange = False  # whether it is not the script's,
        self._told = False  # whether that was told, and since when
        self._since = 0.0
        self._loud = 0.0  # seconds of it since then
        self._silence = 0.0  # seconds of it up to now

    @property
    def place(self) -> float:
        """Where in the recording the client is, in seconds."""
        return self._at + self._samples / self._rate

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        self._tail = np.concatenate([self._tail, samples])[-round(KEPT * self._rate) :]
        self._samples += len(samples)
        follows = self._follows(len(samples))
        yield from self._cut
        self._cut = []
        if follows:
            yield from self.finish()
            self._strange = False
            yield from self._script.until(self._samples)
        elif self._strange:
            yield from self._mark(samples)

    def finish(self) -> Iterator[Sound]:
        if self._told:
            now, self._told = self._samples / self._rate, False
            yield Spoken(now, STRANGE, self._since, max(self._since, now - self._silence))

    def _mark(self, samples: np.ndarray) -> Iterator[Sound]:
        """Say that it is strange: once, and again after a silence."""
        now, new = self._samples / self._rate, len(samples) / self._rate
        if self._recording.gain(samples) <= SILENT:
            self._silence += new
        else:
            self._loud, self._silence = self._loud + new, 0.0
        over = self._silence >= SHORTEST
        if not self._told and self._loud >= (new if over else LONGEST):
            self._told = True
            yield Onset(now)
            yield Spoken(now, STRANGE, self._since, now, final=False)
        if over:
            yield from self.finish()
            self._since, self._loud = now, 0.0

    def _sit(self, at: float, said: float = 0.0) -> None:
        """Place the session `at` a position; words that began before `said` are over."""
        now = self._samples / self._rate
        if at != self._at:
            self._cut += self._script.leave_out(math.inf, now)
            self._at = round(at * self._rate) / self._rate
            self._script = Script(self._reference.excerpt(self._at, math.inf), self._rate)
        self._cut += self._script.leave_out(said, now)

    def _follows(self, new: int) -> bool:
        """Whether what came is what was expected, or was found elsewhere."""
        window = self._tail[-max(new, round(WINDOW * self._rate)) :]
        begin = (self._samples - len(window)) / self._rate
        gain = self._recording.gain(window)
        self._gain = min(1.0, max(self._gain, gain))
        alike = self._expected(window, begin)
        if alike is None and not self._unsure:
            return True
        if (alike or 0.0) >= (FOUND if self._starts or self._unsure else SAME):
            if self._strange:
                self._sit(self._at, begin)
            if len(window) >= WINDOW * self._rate:
                self._starts = []
            self._unsure, self._search_after = 0.0, SHORTEST
            return True
        if gain <= SILENT:  # what was there was not sent
            self._sit(self._at, self._samples / self._rate)
            if not self._unsure:
                return False
        if not self._unsure:
            self._since, self._loud = (self._samples - new) / self._rate, 0.0
        self._unsure += new / self._rate
        if self._unsure < self._search_after:
            return False
        self._search_after = self._unsure + self._step
        lost = self._tail[-round(min(self._unsure, LONGEST) * self._rate) :]
        if self._recording.gain(lost) <= SILENT:
            return False
        found = self._recording.find(lost, self._rate)
        if found is None:
            if not self._strange and self._unsure >= LONGEST:
                self._strange, self._loud = True, self._unsure
            return False
        at = found - (self._samples - len(lost)) / self._rate
        for seconds in np.arange(KEPT, 0, -0.1):  # it may have begun before
            stretch = self._tail[-max(len(lost), round(seconds * self._rate)) :]
            begin = (self._samples - len(stretch)) / self._rate
            if (self._recording.likeness(stretch, self._rate, at + begin) or 0.0) >= FOUND:
                break
        self._sit(at, begin)
        self._starts, self._unsure, self._search_after = [], 0.0, SHORTEST
        return True

    def _expected(self, window: np.ndarray, begin: float) -> float | None:
        """How alike it is to what lies where it is expected, or in the likeliest such place."""
        if not self._starts:
            return self._recording.likeness(window, self._rate, self._at + begin, self._gain)
        likeness = self._recording.likeness
        alike = {at: likeness(window, self._rate, at + begin, self._gain) for at in self._starts}
        best = max(alike, key=lambda at: SAME if alike[at] is None else alike[at] or 0.0)
        if best != self._at:
            self._sit(best, 0.0)
        return alike[best]
