"""Make `library_call.wav` and `library_call.json`: a telephone call with exact word times.

Run `python make_library_call.py`; it needs numpy and Debian's `flite`, which speaks.
"""

import json
import subprocess
import wave
from itertools import islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FOLDER = Path(__file__).parent
RATE = 16_000
VOICES = {"librarian": "slt", "caller": "rms"}
PEAK_DB = -3.0
NOISE_DB = -60.0
SEED = 1
LAST_SILENCE = 2.0

# Seconds of silence before the turn, who speaks, what is said.
CALL = [
    (0.4, "librarian", "Good morning, this is the public library."),
    (0.6, "caller", "Good morning. I would like to renew three books."),
    (0.7, "librarian", "Certainly. May I have your name?"),
    (1.2, "caller", "My name is Peter Green, and my card number ends in seven four two."),
    (0.5, "librarian", "Thank you."),
    (2.0, "librarian", "I can see your books here, and you may keep two of them until March."),
    (0.6, "caller", "What about the third one?"),
    (0.8, "librarian", "Another reader is waiting for it, so we need it back by Friday."),
    (0.9, "caller", "That is fine. I will bring it back tomorrow."),
    (1.5, "caller", "How late are you open?"),
    (0.5, "librarian", "The library stays open until eight in the evening."),
    (0.7, "caller", "And on Sunday?"),
    (0.6, "librarian", "On Sunday we are closed, but the box beside the door is always open."),
    (1.1, "caller", "Does the book club still meet on Thursday evenings?"),
    (0.5, "librarian", "Yes, it does."),
    (0.9, "librarian", "They meet in the garden room at half past six, and there is always tea."),
    (0.8, "caller", "Which book are they talking about this month?"),
    (1.7, "librarian", "It is a funny story about a family and a very clever goat."),
    (0.9, "caller", "That sounds wonderful. Could you keep a copy for me?"),
    (0.6, "librarian", "I will put one behind the desk with your name on it."),
    (0.7, "caller", "Thank you so much for your help."),
    (0.5, "librarian", "You are welcome. We look forward to seeing you tomorrow."),
    (0.6, "caller", "Goodbye."),
]


class Word(NamedTuple):
    text: str
    start: float
    end: float


class Speech(NamedTuple):
    samples: NDArray[np.float64]
    words: list[Word]


def flite(voice: str, text: str, listing: str, wav: Path | str = "none") -> list[str]:
    """Speak the text into `wav` and return what flite lists of it."""
    command = ["flite", "-voice", voice, listing, "-t", text, str(wav)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def phone_counts(voice: str, words: list[str]) -> list[int]:
    """Count the phones of each word as it is spoken in this sentence.

    flite lists phones without saying which word they belong to, and a word alone may be spoken
    differently from the same word in a sentence. So a word's phones are those that go away when
    the sentence starts one word later; all the phones after them have to stay as they were.
    """
    counts: list[int] = []
    phones: list[str] = []
    for i in reversed(range(len(words))):
        after = phones
        phones = [p for p in flite(voice, " ".join(words[i:]), "-ps") if p != "pau"]
        counts.insert(0, len(phones) - len(after))
        if phones[counts[0] :] != after:
            raise ValueError(f"{words[i]!r} changes how the words after it are spoken: {words}")
    return counts


def speak(voice: str, text: str) -> Speech:
    """Speak one turn; word times count from the first sample."""
    with TemporaryDirectory() as folder:
        wav = Path(folder, "turn.wav")
        listed = [item.split(":") for item in flite(voice, text, "-psdur", wav)]
        with wave.open(str(wav)) as file:
            samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(float)

    # A phone starts where the one before it, or the pause, ends.
    spans = pairwise([0.0, *(float(end) for _, end in listed)])
    spoken = (span for span, (phone, _) in zip(spans, listed, strict=True) if phone != "pau")
    words = []
    for word, count in zip(text.split(), phone_counts(voice, text.split()), strict=True):
        phones = list(islice(spoken, count))
        words.append(Word(word, start=phones[0][0], end=phones[-1][1]))

    # Every turn is made equally loud, so that neither voice drowns the other.
    said = samples[round(words[0].start * RATE) : round(words[-1].end * RATE)]
    return Speech(samples / said.std(), words)


def main() -> None:
    placed = []
    turns = []
    now = 0.0
    for pause, speaker, text in CALL:
        samples, words = speak(VOICES[speaker], text)
        # flite's own silence before the first word is part of the pause.
        first = round((now + pause - words[0].start) * RATE)
        placed.append((first, samples))
        timed = [
            {
                "text": word.text,
                "start": round(first / RATE + word.start, 4),
                "end": round(first / RATE + word.end, 4),
            }
            for word in words
        ]
        now = first / RATE + words[-1].end
        turns.append(
            {
                "speaker": speaker,
                "start": timed[0]["start"],
                "end": timed[-1]["end"],
                "text": text,
                "words": timed,
            }
        )

    call = np.zeros(round((now + LAST_SILENCE) * RATE))
    for first, samples in placed:
        call[first : first + len(samples)] += samples
    call *= 10 ** (PEAK_DB / 20) / np.abs(call).max()
    call += np.random.default_rng(SEED).normal(scale=10 ** (NOISE_DB / 20), size=len(call))

    wav = FOLDER / "library_call.wav"
    with wave.open(str(wav), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(np.round(call * 32767).astype("<i2").tobytes())
    truth = {
        "file": wav.name,
        "sample_rate": RATE,
        "channels": 1,
        "duration": round(len(call) / RATE, 4),
        "alignment": "The times are exact, read from the synthesiser's own phone ends.",
        "transcript": " ".join(text for _, _, text in CALL),
        "turns": turns,
    }
    wav.with_suffix(".json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
