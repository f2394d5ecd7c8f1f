"""Turns: which words were said so far, when that is told, and which silence ends them.

All of it is decided on audio time, by the rules of the model that was chosen; nothing here knows
when anything arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rtkit.loopback.engines import Onset, Phrase, Sound
from rtkit.services.assemblyai.parameters import Parameters

__all__ = ["Decided", "Turns"]

LEAST_SPEECH = 0.08  # seconds; less does not make a turn that silence ends
SILENCE = 1.0  # seconds of it that newer models tell of, if they are asked to
CONTINUOUS = 3.0  # seconds from one partial message of a long turn to the next, with newer models

Decided = tuple[str, dict[str, Any]]  # what decided a message, and the message


@dataclass(slots=True)
class _Word:
    text: str
    start: float
    end: float
    final: bool
    confidence: float = 0.95


class Turns:
    """The turns of one session.

    Universal-Streaming tells each word as it comes, and ends a turn after the shorter silence
    if it is confident that the turn is over, else after the longer one. The newer models look at
    the text once a silence has lasted for the shorter one: the turn ends if a sentence does; else
    they tell what was said so far, and end the turn after the longer one.

    Parameters
    ----------
    parameters : Parameters
        May be exchanged for others at any time.
    finals : int
        How many final messages a formatted turn of Universal-Streaming has.
    """

    def __init__(self, parameters: Parameters, finals: int) -> None:
        self.parameters = parameters
        self._finals = finals
        self._newer = parameters.family != "universal"
        self._order = 0
        self._speaking = 0  # words begun and not yet heard whole
        self._last_end = 0.0
        self._silent_from = 0.0
        self.spoken = False  # whether anybody spoke since somebody asked and took it back
        self._clear()

    def _clear(self) -> None:
        self._words: list[_Word] = []
        self._confidence = 0.0
        self._began = False  # whether the client knows that somebody speaks
        self._told: list[_Word] = []
        self._tell_at: float | None = None  # newer models: when to tell what was said so far
        self._looked = False  # newer models: whether this silence's text was looked at

    @property
    def open(self) -> bool:
        """Whether something was said since the last turn ended."""
        return bool(self._words)

    def hear(self, sound: Sound) -> Iterator[Decided]:
        """What is to be said once `sound` is heard."""
        yield from self.reach(sound.position)
        if isinstance(sound, Onset):
            self._speaking += 1
            self.spoken = True
            self._looked = False
            if self._tell_at is None:
                self._tell_at = sound.position + self.parameters.early
            return
        before = list(self._words)
        self._speaking -= sound.final
        if isinstance(sound, Phrase):
            self._hear_phrase(sound)
        else:
            word = _Word(sound.text, sound.start, sound.end, sound.final)
            if before and not before[-1].final and before[-1].start == sound.start:
                self._words.pop()
            self._words.append(word)
            self._confidence, self._last_end = sound.confidence, sound.end
        if self._newer:
            yield from self.reach(sound.position)
        elif self._words != before:
            yield from self._tell("word")

    def reach(self, position: float) -> Iterator[Decided]:
        """What is to be said once the audio up to `position` is there."""
        # Half a sample of grace, as for a word that ends with its chunk.
        position += 0.5 / self.parameters.rate
        while True:
            at, act = min(self._coming(), key=lambda coming: coming[0])
            if at > position:
                break
            yield from act()
        if not self.parameters.silences:
            self._silent_from = position  # what was not asked for is not told later

    def end(self, cause: str) -> Iterator[Decided]:
        """End the open turn."""
        if self._newer:
            yield from self._onset(cause)
            yield cause, self._turn(final=True, formatted=True)
        else:
            formats = self.parameters.format_turns
            two = formats and self._finals == 2 and bool(self._words)
            yield cause, self._turn(final=True, formatted=formats and not two)
            if two:
                yield cause, {**self._turn(final=True, formatted=True), "utterance": ""}
        self._clear()
        self._order += 1

    def finish(self) -> Iterator[Decided]:
        """The client has nothing more to say."""
        # Universal-Streaming sends a final where nothing is open, too: an empty one.
        if self._words or not self._newer:
            yield from self.end("terminate")

    def _hear_phrase(self, phrase: Phrase) -> None:
        self._words = [word for word in self._words if word.final] + [
            _Word(word.text, word.start, word.end, phrase.final, word.confidence)
            for word in phrase.words
        ]
        if phrase.final and phrase.words:
            self._confidence, self._last_end = phrase.confidence, phrase.words[-1].end

    def _coming(self) -> Iterator[tuple[float, Callable[[], Iterator[Decided]]]]:
        """What happens at which position, if nobody says anything more."""
        yield math.inf, lambda: iter(())
        if self.parameters.silences and not self._speaking:
            yield max(self._silent_from, self._last_end) + SILENCE, self._tell_silence
        if not self._words:
            return
        if self._newer and self._tell_at is not None:
            yield self._tell_at, self._tell_early
        if self._speaking:
            return
        least = self._last_end + self.parameters.min_silence
        most = self._last_end + self.parameters.max_silence
        if self._newer:
            yield most, lambda: self.end("silence")
            if not self._looked:
                yield least, self._look
        elif self._last_end - self._words[0].start >= LEAST_SPEECH - 1e-9:
            sure = self._confidence > self.parameters.threshold
            yield least if sure else most, lambda: self.end("silence")

    def _look(self) -> Iterator[Decided]:
        self._looked = True
        if self._words[-1].text.rstrip("\"')”’").endswith((".", "?", "!")):
            yield from self.end("silence")
        else:
            yield from self._tell("silence")

    def _tell_early(self) -> Iterator[Decided]:
        assert self._tell_at is not None
        self._tell_at += CONTINUOUS if self.parameters.continuous else math.inf
        yield from self._tell("word")

    def _tell_silence(self) -> Iterator[Decided]:
        start = max(self._silent_from, self._last_end)
        self._silent_from = start + SILENCE
        start_ms, end_ms = round(start * 1000), round(self._silent_from * 1000)
        yield "silence", {"type": "Silence", "start_ms": start_ms, "end_ms": end_ms}

    def _tell(self, cause: str) -> Iterator[Decided]:
        """Tell the words so far, unless they were told."""
        if not self.parameters.partials or self._words == self._told:
            return
        self._told = list(self._words)
        yield from self._onset(cause)
        one = self.parameters.format_turns and self._finals == 1
        yield cause, self._turn(final=False, formatted=self._newer or one)

    def _onset(self, cause: str) -> Iterator[Decided]:
        """Newer models say that somebody speaks, right before they say what."""
        if self._newer and self._words and not self._began:
            self._began = True
            yield (
                cause,
                {
                    "type": "SpeechStarted",
                    "timestamp": round(self._words[0].start * 1000),
                    "confidence": 1.0,
                },
            )

    def _turn(self, *, final: bool, formatted: bool) -> dict[str, Any]:
        last = len(self._words) - 1
        words = [
            {
                "text": word.text if formatted else _plain(word.text),
                "start": round(word.start * 1000),
                "end": round(word.end * 1000),
                "confidence": word.confidence,
                "word_is_final": final or (not self._newer and word.final and index < last),
            }
            for index, word in enumerate(self._words)
        ]
        transcript = " ".join(
            str(word["text"]) for word in words if self._newer or word["word_is_final"]
        )
        return {
            "turn_order": self._order,
            "turn_is_formatted": formatted,
            "end_of_turn": final,
            "transcript": transcript,
            "utterance": transcript if final else "",
            "end_of_turn_confidence": float(final) if self._newer else self._confidence,
            "words": words,
            "type": "Turn",
        }


def _plain(text: str) -> str:
    """Without casing and punctuation; a mark such as [speech 0.3-2.2 s] stays as it is."""
    return text if text.startswith("[") else text.lower().strip('.,;:!?"“”()-–—… ')
