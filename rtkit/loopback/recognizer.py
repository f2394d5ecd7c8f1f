"""A real recognizer for the embedded service: pocketsphinx, in separate processes.

``python -m rtkit.loopback.recognizer`` is such a process. The service writes to its standard
input, a line of JSON each, audio right behind its line; it answers each piece of audio with a line
of what it heard. It ends when its standard input does.

- `Listener`: audio in, sounds out; the same for the same audio, at any pace and in any pieces
- `Recognizers`: the processes, as the service lends them to its sessions
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import importlib.util
import json
import os
import re
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from rtkit.boundary.children import child_command, child_environment
from rtkit.loopback.engines import Guess, Onset, Phrase, Sound

__all__ = ["Listener", "Recognizer", "Recognizers", "recognizer_name"]

RATE = 16000  # of the model
NICENESS = 10  # the sender goes first: a service elsewhere would not take its time


def recognizer_name() -> str:
    """The recognizer's name and version.

    Raises
    ------
    ImportError
        If it is not installed.
    """
    for package in ("pocketsphinx", "soxr"):
        if importlib.util.find_spec(package) is None:
            raise ImportError(
                f"engine='recognizer' needs the package {package}, which is not installed. "
                f"Run pip install 'rtkit[recognizer]' and try again.",
                name=package,
            )
    return f"pocketsphinx {importlib.metadata.version('pocketsphinx')}"


# In the process of its own.


class Listener:
    """Recognizes words in audio of any sample rate, with pocketsphinx and its US English model.

    Speech begins and ends by voice activity; what lies between is decoded while it comes, and once
    more, over all its hypotheses, when it has ended. Words change until then.

    Parameters
    ----------
    decoder : pocketsphinx.Decoder
        From `load_decoder`. It may have heard others before, one after another.
    rate : int
        Samples per second of the audio.
    """

    FRAME = 0.02  # seconds that are speech or not
    WINDOW = 15  # frames that are looked at together,
    ENOUGH = 14  # and how many must agree that speech has begun, or ended
    PARTIAL = 5  # frames from one look at the words so far to the next
    LONGEST = 30.0  # seconds of speech without a pause that are decoded at once
    PRIME = 1.0  # seconds of speech to take the cepstral mean from

    def __init__(self, decoder: Any, rate: int) -> None:
        import pocketsphinx
        import soxr

        self._decoder = decoder
        self._decoder.reinit_feat()  # forget how the one before sounded
        self._language = decoder.get_lm(decoder.current_search())
        self._vad = pocketsphinx.Vad(pocketsphinx.Vad.LOOSE, RATE, self.FRAME)
        self._resampler = (
            None if rate == RATE else soxr.ResampleStream(rate, RATE, 1, dtype="int16")
        )
        self._rest = np.empty(0, dtype=np.int16)
        self._frames = 0
        self._window: deque[tuple[bytes, bool]] = deque(maxlen=self.WINDOW)
        self._start: float | None = None  # of the open speech
        self._unprimed: bytearray | None = bytearray()  # speech until the cepstral mean is known
        self._guesses: tuple[str, ...] = ()

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        """The sounds in the next `samples` (int16, mono)."""
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(samples)
        samples = np.concatenate([self._rest, samples])
        frame = round(self.FRAME * RATE)
        whole = len(samples) // frame
        self._rest = samples[whole * frame :]
        for piece in samples[: whole * frame].reshape(whole, frame):
            yield from self._hear_frame(piece.tobytes())

    def finish(self) -> Iterator[Sound]:
        """Finish what is open; speech that continues begins again."""
        if self._start is not None:
            yield self._settled()

    def _hear_frame(self, frame: bytes) -> Iterator[Sound]:
        self._frames += 1
        self._window.append((frame, self._vad.is_speech(frame)))
        voiced = sum(speech for _, speech in self._window)
        now = self._frames * self.FRAME
        if self._start is None:
            if voiced >= self.ENOUGH:
                yield self._opened(now)
            return
        self._decode(frame)
        if len(self._window) - voiced >= self.ENOUGH or now - self._start >= self.LONGEST:
            yield self._settled()
        elif self._frames % self.PARTIAL == 0 and self._unprimed is None:
            words = self._words()
            texts = tuple(word.text for word in words)
            if texts != self._guesses:
                self._guesses = texts
                yield Phrase(now, words)

    def _opened(self, now: float) -> Onset:
        self._start = now - len(self._window) * self.FRAME
        if self._unprimed is None:
            self._decoder.start_utt()
        for frame, _ in self._window:
            self._decode(frame)
        return Onset(self._start)

    def _decode(self, frame: bytes) -> None:
        if self._unprimed is None:
            self._decoder.process_raw(frame)
            return
        self._unprimed += frame
        if len(self._unprimed) >= self.PRIME * RATE * 2:
            self._prime()

    def _prime(self) -> None:
        """Take the cepstral mean from the first speech, then decode that speech.

        The model's own mean is that of other microphones; the live estimate, which starts from
        it, takes many seconds to get away: until then hardly a word is right.
        """
        assert self._unprimed is not None
        speech, self._unprimed = bytes(self._unprimed), None
        self._decoder.start_utt()
        self._decoder.process_raw(speech, no_search=True, full_utt=True)
        self._decoder.end_utt()
        self._decoder.set_cmn(self._decoder.get_cmn())
        self._decoder.start_utt()
        self._decoder.process_raw(speech)

    def _settled(self) -> Phrase:
        if self._unprimed is not None:  # a short word
            self._prime()
        self._decoder.end_utt()
        words = self._words(final=True)
        self._start, self._guesses = None, ()
        self._window.clear()
        return Phrase(self._frames * self.FRAME, words, True, self._ending(words))

    def _words(self, *, final: bool = False) -> tuple[Guess, ...]:
        """The words so far; how sure they are is known in the end, until then it is 0."""
        assert self._start is not None
        return tuple(
            Guess(
                re.sub(r"\(\d+\)$", "", segment.word),  # which pronunciation of a word it was
                self._start + segment.start_frame / 100,
                self._start + (segment.end_frame + 1) / 100,
                min(1.0, segment.prob) if final else 0.0,
            )
            for segment in self._decoder.seg() or ()
            if segment.word[0] not in "<[+"  # silence, and noises
        )

    def _ending(self, words: tuple[Guess, ...]) -> float:
        """How sure it is that a turn may end after these words.

        By the language model: p / (p + q), with p the probability that a sentence ends after the
        last two words, and q that it ends after any. It is 0.5 where they tell nothing.
        """
        if not words:
            return 0.0
        exp = self._decoder.get_logmath().exp
        history = ["</s>", *(word.text for word in reversed(words[-2:]))]
        here, anywhere = exp(self._language.prob(history)), exp(self._language.prob(["</s>"]))
        return float(here / (here + anywhere))


def load_decoder() -> Any:
    import pocketsphinx

    # The second, flat pass would cost a second of silence, for no fewer errors.
    return pocketsphinx.Decoder(samprate=RATE, fwdflat=False, loglevel="FATAL")


def main() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    reading, writing = sys.stdin.buffer, sys.stdout.buffer

    def answer(data: Any) -> None:
        writing.write(json.dumps(data).encode() + b"\n")
        writing.flush()

    with contextlib.suppress(BrokenPipeError):  # nobody listens any more
        decoder = load_decoder()
        answer("ready")
        listener = Listener(decoder, RATE)
        while line := reading.readline():
            question = json.loads(line)
            if "rate" in question:
                listener = Listener(decoder, question["rate"])
                continue
            samples = np.frombuffer(reading.read(question["bytes"]), dtype="<i2")
            time.sleep(max(0.0, question["after"] - time.monotonic()))
            heard = listener.hear(samples) if len(samples) else listener.finish()
            answer([_to_json(sound) for sound in heard])


def _to_json(sound: Sound) -> dict[str, Any]:
    return {"kind": type(sound).__name__, **asdict(sound)}


def _from_json(data: Mapping[str, Any]) -> Sound:
    if data["kind"] == "Onset":
        return Onset(data["position"])
    words = tuple(Guess(**word) for word in data["words"])
    return Phrase(data["position"], words, data["final"], data["confidence"])


# In the service's process.


class Recognizer:
    """A process that recognizes one session at a time.

    Audio that is not yet processed waits in its pipe and in this process's memory, bounded by the
    session's backlog.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._unanswered = 0

    @classmethod
    async def start(cls) -> Recognizer:
        """Start a process, and wait until its model is loaded."""
        process = await asyncio.create_subprocess_exec(
            *child_command("rtkit.loopback.recognizer"),
            env=child_environment(),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,  # an interrupt at the terminal is the service's business
        )
        recognizer = cls(process)
        try:
            if await recognizer._line() is None:
                raise RuntimeError("The recognizer did not start; see its error above")
        except BaseException:
            await recognizer.end()
            raise
        return recognizer

    @property
    def free(self) -> bool:
        """Whether it can take another session: it runs, and has replied to everything."""
        return self._process.returncode is None and not self._unanswered

    def begin(self, rate: int) -> Recognizer:
        """Begin a new session, whose audio has `rate` samples per second."""
        self._tell({"rate": rate})
        return self

    def ask(self, samples: np.ndarray | None, after: float) -> None:
        """Process the next `samples`, or (None) finish what is open, once `after` has passed."""
        audio = b"" if samples is None else samples.astype("<i2", copy=False).tobytes()
        self._unanswered += 1
        self._tell({"after": after, "bytes": len(audio)}, audio)

    async def answers(self) -> AsyncIterator[list[Sound]]:
        """Its replies, in the order of requests; ends when the process does."""
        while (heard := await self._line()) is not None:
            self._unanswered -= 1
            yield [_from_json(item) for item in heard]

    async def end(self) -> None:
        """End the process at once; it has nothing to save."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        # Reading to the end, too, or the pipe would outlive the process.
        await self._process.communicate()

    def _tell(self, header: Mapping[str, Any], audio: bytes = b"") -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(header).encode() + b"\n" + audio)

    async def _line(self) -> Any:
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        return json.loads(line) if line else None


class Recognizers:
    """Recognizers for the sessions of a service: one each, kept for the next when it is over."""

    def __init__(self) -> None:
        self._free: list[Recognizer] = []
        self._closed = False

    async def prepare(self) -> None:
        """Have one at hand: loading the model takes a while."""
        self._free.append(await Recognizer.start())

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Recognizer]:
        """A recognizer for one session, which waits until there is one."""
        recognizer = None
        while self._free and recognizer is None:
            recognizer = self._free.pop()
            if not recognizer.free:  # it ended while nobody used it
                await recognizer.end()
                recognizer = None
        recognizer = recognizer or await Recognizer.start()
        try:
            yield recognizer
        finally:
            if recognizer.free and not self._closed and len(self._free) < (os.cpu_count() or 1):
                self._free.append(recognizer)
            else:  # what a client left behind is not heard to its end
                await recognizer.end()

    async def close(self) -> None:
        """End them all; one that is lent ends when its session does."""
        self._closed = True
        while self._free:
            await self._free.pop().end()


if __name__ == "__main__":
    main()
