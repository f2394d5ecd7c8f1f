"""With its recording at hand a script is said where its audio is, and only there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from conftest import spoken
from websockets.asyncio.client import connect

from rtkit.loopback.conversation import Behavior, Conversation
from rtkit.loopback.engines import Engine, Onset, Phrase, Spoken
from rtkit.loopback.options import Options
from rtkit.loopback.script_position import STRANGE, Following, Recording, recording_beside
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.server import serve_loopback
from rtkit.services.assemblyai.client import TERMINATE
from rtkit.services.assemblyai.server import Server

RATE = 16000
WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
SCRIPT = spoken(*((word, 0.5 + i, 1.0 + i) for i, word in enumerate(WORDS)))
SECONDS = len(WORDS) + 1


def made() -> np.ndarray:
    """Noise of all kinds, half a second a word, as loud as speech, over a quiet floor."""
    rng = np.random.default_rng(1)
    audio = rng.normal(0, 20, SECONDS * RATE)
    for word in SCRIPT.words:
        first, last = round(word.start * RATE), round(word.end * RATE)
        width = int(rng.integers(8, 24))
        voice = np.convolve(rng.normal(0, 1, last - first), np.ones(width), "same")
        audio[first:last] += 3000 * voice / voice.std()
    return audio.astype("<i2")


PCM = made()


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "call.wav"
    soundfile.write(path, PCM, RATE)
    path.with_suffix(".json").write_text(json.dumps(SCRIPT.to_json()))
    return path


@pytest.fixture(scope="module")
def recording(path: Path) -> Recording:
    return Recording(path)


def heard(engine: Engine, audio: np.ndarray, *, chunk: int = 1600) -> Iterator[Spoken]:
    for first in range(0, len(audio), chunk):
        for sound in engine.hear(audio[first : first + chunk]):
            if isinstance(sound, Spoken):
                yield sound
    yield from (sound for sound in engine.finish() if isinstance(sound, Spoken))


def at_rate(wanted: int) -> np.ndarray:
    """The same audio at another rate, by an ideal filter."""
    count = SECONDS * wanted
    spectrum = np.fft.rfft(PCM)[: count // 2 + 1]
    wide = np.zeros(count // 2 + 1, dtype=complex)
    wide[: len(spectrum)] = spectrum
    audio: np.ndarray = np.fft.irfft(wide, count) * wanted / RATE
    return audio.clip(-32768, 32767).astype("<i2")


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE), dtype="<i2")


def part(start: float, stop: float) -> np.ndarray:
    return PCM[round(start * RATE) : round(stop * RATE)]


def joined(*parts: np.ndarray) -> np.ndarray:
    return np.concatenate(parts).astype("<i2")


@pytest.mark.parametrize("chunk", [0.05, 0.3])
@pytest.mark.parametrize("rate", [8000, 11025, 16000, 48000])
def test_each_word_is_said_with_the_chunk_that_holds_its_end_at_any_rate(
    recording: Recording, rate: int, chunk: float
) -> None:
    engine, size = Following(SCRIPT, recording, rate), round(chunk * rate)
    said, audio = [], at_rate(rate)
    for first in range(0, len(audio), size):
        for sound in engine.hear(audio[first : first + size]):
            if isinstance(sound, Spoken):
                said.append(sound.text)
                assert first / rate < sound.end <= (first + size + 0.5) / rate
    assert said == WORDS


@pytest.mark.parametrize("level", [0.03, 2.0])
@pytest.mark.parametrize(
    ("audio", "words", "first"),
    [
        (part(4.2, 8.7), WORDS[4:8], 0.3),  # from the middle on
        (part(4.21337, 8.7), WORDS[4:8], 0.28663),
        (part(4.7, 8.7), WORDS[5:8], 0.8),  # through a word
        (joined(silence(1.7), part(0, 4.2), silence(2)), WORDS[:4], 2.2),
        (joined(part(0, 3.2), part(6.2, 9.2)), [*WORDS[:3], *WORDS[6:9]], 0.5),  # 3 s left out
        (joined(part(0, 3.2), part(1.2, 4.2)), [*WORDS[:3], *WORDS[1:4]], 0.5),  # 2 s again
        (joined(part(0, 3.2), silence(3), part(6.2, 9.2)), [*WORDS[:3], *WORDS[6:9]], 0.5),
        (joined(part(9.2, SECONDS), part(0, 2.2)), [*WORDS[9:], *WORDS[:2]], 0.3),
    ],
)
def test_it_goes_on_where_the_audio_does(
    recording: Recording, audio: np.ndarray, words: list[str], first: float, level: float
) -> None:
    said = list(heard(Following(SCRIPT, recording, RATE), (audio * level).astype("<i2")))
    assert [word.text for word in said] == words
    assert said[0].start == pytest.approx(first, abs=1 / RATE)
    assert all(word.end - word.start < 0.501 for word in said)


def mulaw(audio: np.ndarray) -> np.ndarray:
    """What mu-law bytes are, taken for 16-bit samples."""
    magnitude = np.minimum(np.abs(audio.astype(int)) + 132, 32767)
    exponent = np.log2(magnitude).astype(int) - 7
    code = (np.where(audio < 0, 128, 0) | exponent << 4 | (magnitude >> (exponent + 3)) & 15) ^ 255
    return np.frombuffer(code.astype("u1").tobytes(), dtype="<i2")


@pytest.mark.parametrize(
    "audio",
    [
        np.frombuffer((PCM / 32768).astype("<f4").tobytes(), dtype="<i2"),
        mulaw(PCM),
        PCM.byteswap(),
        np.frombuffer(PCM.tobytes()[1:-1], dtype="<i2"),  # an odd offset
        np.repeat(PCM, 2),  # two channels as one
        np.ascontiguousarray(PCM[::-1]),
        np.random.default_rng(2).normal(0, 3000, 8 * RATE).astype("<i2"),
    ],
    ids=["float32", "mu-law", "big endian", "odd", "stereo", "backward", "noise"],
)
def test_audio_that_is_not_the_scripts_is_said_to_be_that(
    recording: Recording, audio: np.ndarray
) -> None:
    audio = audio[: 6 * RATE]
    said = {word.text for word in heard(Following(SCRIPT, recording, RATE), audio)}
    assert said == {STRANGE}


def test_a_stretch_that_is_not_the_scripts_is_told_between_its_words(recording: Recording) -> None:
    noise = np.random.default_rng(2).normal(0, 3000, 4 * RATE)
    audio = joined(part(0, 3.2), noise, part(3.2, 6.2))
    said = [word.text for word in heard(Following(SCRIPT, recording, RATE), audio) if word.final]
    assert said == [*WORDS[:3], STRANGE, *WORDS[3:6]]


def test_a_word_that_breaks_off_comes_to_nothing(recording: Recording) -> None:
    """And does not keep its turn open."""
    engine = Following(SCRIPT, recording, RATE)
    sounds = [*engine.hear(part(0, 0.8)), *engine.hear(silence(1.0)), *engine.hear(silence(1.0))]
    assert sounds == [Onset(0.5), Phrase(1.8, (), final=True)]
    sounds = [*engine.hear(part(2.8, 3.8)), *engine.hear(part(8.2, 9.2)), *engine.finish()]
    kinds = [type(sound) for sound in sounds]
    assert kinds == [Onset, Phrase, Onset, Spoken]


def test_silence_says_nothing(recording: Recording) -> None:
    assert list(heard(Following(SCRIPT, recording, RATE), silence(5))) == []


def test_a_turn_of_it_is_ended_and_told(recording: Recording) -> None:
    conversation = Conversation(
        Server({"sample_rate": str(RATE)}),
        engine=lambda rate: Following(SCRIPT, recording, rate),
        behavior=Behavior(0.0, max_speed=1e6),
        now=0.0,
        session_id="x",
        expires_at=1,
    )
    noise = np.random.default_rng(2).normal(0, 3000, 3 * RATE)
    sent = joined(noise, silence(2), part(0, 3.2))
    for first in range(0, len(sent), 1600):
        conversation.receive(sent[first : first + 1600].tobytes(), first / RATE)
    conversation.receive(TERMINATE, 9.0)
    said = [json.loads(one.text) for one in conversation.take(10.0) if hasattr(one, "text")]
    finals = [one["transcript"] for one in said if one.get("end_of_turn")]
    assert finals == [STRANGE, "one two three"]


def test_after_a_break_the_first_word_comes_as_promptly_as_any(path: Path) -> None:
    """Where a session was, another may go on."""
    scripts = Scripts(SCRIPT, path)
    said = list(heard(scripts.engine(None)(RATE), part(0, 4.2)))
    assert [word.text for word in said] == WORDS[:4]
    engine = scripts.engine(None)(RATE)
    texts = [
        [sound.text for sound in engine.hear(part(at, at + 0.1)) if isinstance(sound, Spoken)]
        for at in np.arange(4.2, 5.15, 0.1)
    ]
    assert texts == [[]] * 7 + [["five"], [], []]


def test_other_clients_of_a_service_with_a_script_are_followed(path: Path) -> None:
    options = Options(script=path.with_suffix(".json"), delay=0.0, max_speed=1e6)

    async def session(url: str, audio: np.ndarray, *more: str) -> str:
        headers = {"Authorization": "any"}
        async with connect(f"{url}?sample_rate={RATE}", additional_headers=headers) as connection:
            for first in range(0, len(audio), RATE):
                await connection.send(audio[first : first + RATE].tobytes())
            await connection.send(TERMINATE)
            said = [json.loads(one) async for one in connection]
        return " ".join(one["transcript"] for one in said if one.get("end_of_turn")).strip()

    async def run() -> None:
        async with serve_loopback(0, options) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v3/ws"
            assert await session(url, part(0, 4)) == "one two three four"
            assert await session(url, part(4, 8)) == "five six seven eight"
            floats = np.frombuffer((PCM / 32768).astype("<f4").tobytes(), dtype="<i2")
            assert await session(url, floats[: 4 * RATE]) == STRANGE

    asyncio.run(run())


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["call.json", "call.wav"], "call.wav"),
        (["call.json", "call.txt", "call.MP3"], "call.MP3"),
        (["call.wav.json", "call.wav", "call.flac"], "call.wav"),
        (["call.v2.json", "call.v2.ogg", "call.wav"], "call.v2.ogg"),
        (["call.json", "other.wav"], None),
    ],
)
def test_which_recording_belongs_to_a_script(
    tmp_path: Path, files: list[str], found: str | None
) -> None:
    for name in files:
        (tmp_path / name).write_text("")
    assert recording_beside(tmp_path / files[0]) == (found and tmp_path / found)
