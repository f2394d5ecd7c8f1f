"""Turns: when words are reported, and which silence ends a turn.

Everything is decided in audio time, by the client's rules; nothing here knows when audio arrives.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from rtkit.loopback.engines import Onset, Phrase, Sound
from rtkit.services.messages import Reply, Rules, Silence, SpeechStarted, Turn, Word

__all__ = ["Decided", "Turns"]

LEAST_SPEECH = 0.08  # seconds; less does not make a turn that silence ends
SILENCE = 1.0  # seconds of it that are told of, where that is asked for
CONTINUOUS = 3.0  # seconds from one partial state of a long semantic turn to the next
LEAST_SURE = 0.6  # of a word, where the engine does not tell; most are near 1

Decided = tuple[str, Reply]  # what decided a message, and the message


@dataclass(slots=True)
class _Word:
    text: str
    start: float
    end: float
    final: bool
    confidence: float
    speaker: str | None = None


class Turns:
    """The turns of one session.

    By plain rules each word is told as it comes, and a turn ends after the shorter silence if the
    engine is confident that it is over, else after the longer one. By semantic rules the text is
    looked at once a silence has lasted for the shorter one: the turn ends if a sentence does; else
    what was said so far is told, and the turn ends after the longer one.

    Parameters
    ----------
    rules : Rules
        May be exchanged for others at any time.
    finals : int
        How many final states a formatted turn has by plain rules.
    seed : int
        Of the confidence in words, where the engine has none.
    """

    def __init__(self, rules: Rules, finals: int, seed: int = 0) -> None:
        self.rules = rules
        self._seed = seed
        self._finals = finals
        self._semantic = rules.semantic
        self._order = 0
        self._speaking = 0  # words begun and not yet heard whole
        self._last_end = 0.0
        self._silent_from = 0.0
        self.spoken = False  # whether anybody spoke since somebody asked and took it back
        self._clear()

    def _clear(self) -> None:
        self._words: list[_Word] = []
        self._confidence = 0.0
        # Whether the client knows that somebody speaks; whether this silence's text was looked at.
        self._began = self._looked = False
        self._told: list[_Word] = []
        self._tell_at: float | None = None  # semantic: when to tell what was said so far
        self._eager_for = 0.0  # the end of speech after which the turn was told as over for now

    @property
    def open(self) -> bool:
        """Whether something was said since the last turn ended."""
        return bool(self._words)

    def hear(self, sound: Sound) -> Iterator[Decided]:
        """The messages to send once `sound` was recognized."""
        yield from self.reach(sound.position)
        if isinstance(sound, Onset):
            self._speaking += 1
            self.spoken = True
            self._looked = False
            if self._tell_at is None:
                self._tell_at = sound.position + self.rules.early
            return
        before = list(self._words)
        self._speaking -= sound.final
        if isinstance(sound, Phrase):
            self._hear_phrase(sound)
        else:
            sure = self._sure(sound.start)
            word = _Word(sound.text, sound.start, sound.end, sound.final, sure, sound.speaker)
            if before and not before[-1].final and before[-1].start == sound.start:
                self._words.pop()
            self._words.append(word)
            self._confidence, self._last_end = sound.confidence, sound.end
        if self._semantic:
            yield from self.reach(sound.position)
        elif self._words != before:
            yield from self._tell("word")

    def reach(self, position: float) -> Iterator[Decided]:
        """The messages to send once the audio up to `position` has arrived."""
        # Half a sample of grace, as for a word that ends with its chunk.
        position += 0.5 / self.rules.rate
        while True:
            at, act = min(self._coming(), key=lambda coming: coming[0])
            if at > position:
                break
            yield from act()
        if not self.rules.silences:
            self._silent_from = position  # what was not asked for is not told later

    def end(self, cause: str) -> Iterator[Decided]:
        """End the open turn."""
        if self._semantic:
            yield from self._onset(cause)
            yield cause, self._turn(final=True, formatted=True)
        else:
            formats = self.rules.format_turns
            two = formats and self._finals == 2 and bool(self._words)
            yield cause, self._turn(final=True, formatted=formats and not two)
            if two:
                yield cause, self._turn(final=True, formatted=True)
        self._clear()
        self._order += 1

    def finish(self) -> Iterator[Decided]:
        """The client has nothing more to say."""
        # By plain rules there is a final where nothing is open, too: an empty one.
        if self._words or not self._semantic:
            yield from self.end("terminate")

    def _sure(self, start: float) -> float:
        """The confidence in a word that begins there, the same for all of its states."""
        drawn = random.Random(f"{self._seed} {start:.3f}").random()
        return round(1 - (1 - LEAST_SURE) * drawn**3, 4)

    def _hear_phrase(self, phrase: Phrase) -> None:
        self._words = [word for word in self._words if word.final] + [
            _Word(word.text, word.start, word.end, phrase.final, word.confidence)
            for word in phrase.words
        ]
        if phrase.final and phrase.words:
            self._confidence, self._last_end = phrase.confidence, phrase.words[-1].end

    def _coming(self) -> Iterator[tuple[float, Callable[[], Iterator[Decided]]]]:
        """What happens at which position, if there is no more speech."""
        yield math.inf, lambda: iter(())
        if self.rules.silences and not self._speaking:
            yield max(self._silent_from, self._last_end) + SILENCE, self._tell_silence
        if not self._words:
            return
        if self._semantic and self._tell_at is not None:
            yield self._tell_at, self._tell_early
        if self._speaking:
            return
        if self.rules.eager is not None and self._eager_for < self._last_end:
            yield self._last_end + self.rules.eager, self._tell_eager
        least = self._last_end + self.rules.min_silence
        most = self._last_end + self.rules.max_silence
        if self._semantic:
            yield most, lambda: self.end("silence")
            if not self._looked:
                yield least, self._look
        elif self._last_end - self._words[0].start >= LEAST_SPEECH - 1e-9:
            sure = self._confidence > self.rules.threshold
            yield least if sure else most, lambda: self.end("silence")

    def _look(self) -> Iterator[Decided]:
        self._looked = True
        if self._words[-1].text.rstrip("\"')”’").endswith((".", "?", "!")):
            yield from self.end("silence")
        else:
            yield from self._tell("silence")

    def _tell_eager(self) -> Iterator[Decided]:
        self._eager_for = self._last_end
        yield "silence", replace(self._state(), eager=True)

    def _tell_early(self) -> Iterator[Decided]:
        assert self._tell_at is not None
        self._tell_at += CONTINUOUS if self.rules.continuous else math.inf
        yield from self._tell("word")

    def _tell_silence(self) -> Iterator[Decided]:
        start = max(self._silent_from, self._last_end)
        self._silent_from = start + SILENCE
        yield "silence", Silence(start, self._silent_from)

    def _tell(self, cause: str) -> Iterator[Decided]:
        """Report the words so far, unless already reported."""
        if not self.rules.partials or self._words == self._told:
            return
        self._told = list(self._words)
        yield from self._onset(cause)
        yield cause, self._state()

    def _onset(self, cause: str) -> Iterator[Decided]:
        """By semantic rules it is told that somebody speaks, right before what."""
        if self._semantic and self._words and not self._began:
            self._began = True
            yield cause, SpeechStarted(self._words[0].start)

    def _state(self) -> Turn:
        """The open turn, formatted where its final will be at once."""
        one = self.rules.format_turns and self._finals == 1
        return self._turn(final=False, formatted=self._semantic or one)

    def _turn(self, *, final: bool, formatted: bool) -> Turn:
        last = len(self._words) - 1
        words = tuple(
            Word(
                word.text if formatted else _plain(word.text),
                word.start,
                word.end,
                word.confidence,
                final or (not self._semantic and word.final and index < last),
                word.speaker,
            )
            for index, word in enumerate(self._words)
        )
        return Turn(
            order=self._order,
            transcript=" ".join(word.text for word in words if self._semantic or word.final),
            words=words,
            end_of_turn=final,
            formatted=formatted,
            confidence=float(final) if self._semantic else self._confidence,
        )


def _plain(text: str) -> str:
    """Without casing and punctuation; a mark such as [speech 0.3-2.2 s] stays as it is."""
    return text if text.startswith("[") else text.lower().strip('.,;:!?"“”()-–—… ')
