"""The embedded service decides on audio time: the same audio, the same words at any pace."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from assemblyai.streaming.v3.models import SpeakerRevisionEvent
from conftest import spoken

from rtkit.loopback.conversation import Behavior, Conversation
from rtkit.loopback.engines import Energy, Engine, Script, Sound
from rtkit.reference import Reference, SpokenTurn
from rtkit.services.assemblyai.client import (
    FORCE_ENDPOINT,
    KEEP_ALIVE,
    TERMINATE,
    update_configuration,
)
from rtkit.services.assemblyai.server import Server
from rtkit.services.messages import Close, Refusal

RATE = 8000
PROMPT = Behavior(delay=0.0)
PREFIX_3006 = "User Input Validation Error: "
PREFIX_3007 = "Input Duration Error: "


@dataclass
class Said:
    """What came out, and when."""

    at: float
    message: dict[str, Any]


class Talk:
    """A client on paper: sends frames at instants and notes what it is told."""

    def __init__(
        self,
        engine: Callable[[int], Engine] | Reference | None = None,
        behavior: Behavior = PROMPT,
        query: Mapping[str, str] | None = None,
        *,
        refused: Refusal | None = None,
    ) -> None:
        listen: Callable[[int], Engine]
        if isinstance(engine, Reference):
            script = engine
            listen = lambda rate: Script(script, rate)  # noqa: E731
        else:
            listen = engine or Energy
        self.now = 0.0
        self.said: list[Said] = []
        self.closed: Close | None = None
        self.conversation = Conversation(
            Server({"sample_rate": str(RATE), **(query or {})}),
            engine=listen,
            behavior=behavior,
            now=0.0,
            session_id="x",
            expires_at=1,
            refused=refused,
        )
        self.wait(0.0)

    def wait(self, seconds: float) -> None:
        """Let time pass, from one message to the next."""
        until = self.now + seconds
        while (coming := self.conversation.next) is not None and coming <= until:
            self.now = max(self.now, coming)
            for message in self.conversation.take(self.now):
                if isinstance(message, Close):
                    self.closed = message
                else:
                    self.said.append(Said(self.now, json.loads(message.text)))
        self.now = until

    def send(self, frame: bytes | str) -> None:
        self.conversation.receive(frame, self.now)
        self.wait(0.0)

    def speak(self, audio: np.ndarray, *, chunk: float = 0.1, pace: float = 1.0) -> None:
        size = round(chunk * RATE)
        for start in range(0, len(audio), size):
            piece = audio[start : start + size]
            self.wait(len(piece) / RATE / pace)
            self.send(piece.astype("<i2").tobytes())

    def hush(self, seconds: float, **how: float) -> None:
        self.speak(np.zeros(round(seconds * RATE), dtype=np.int16), **how)

    def finish(self) -> None:
        self.send(TERMINATE)
        self.wait(1000.0)

    @property
    def turns(self) -> list[dict[str, Any]]:
        return [said.message for said in self.said if said.message["type"] == "Turn"]

    @property
    def finals(self) -> list[dict[str, Any]]:
        return [turn for turn in self.turns if turn["end_of_turn"]]

    @property
    def transcripts(self) -> list[str]:
        return [turn["transcript"] for turn in self.finals]

    @property
    def causes(self) -> list[str]:
        return [turn["loopback"]["cause"] for turn in self.finals]

    @property
    def error(self) -> tuple[int, str]:
        """The error, which is the last message, and after which it closes with the same code."""
        message = self.said[-1].message
        assert message["type"] == "Error"
        assert self.closed == Close(message["error_code"], "See Error message for details")
        return message["error_code"], message["error"]


ORDER = spoken(
    ("One", 0.3, 0.61),
    ("large", 0.61, 0.997),
    ("coffee,", 1.0, 1.43),
    ("please.", 1.5, 2.002),
    ("Thanks", 3.1, 3.4),
    ("so", 4.6, 4.7),
    ("much", 6.4, 6.9),
)


def without_stamps(turns: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: turn[name] for name in turn if name != "loopback"} for turn in turns]


def rhythm() -> np.ndarray:
    """Bursts of a tone in quiet noise, 8 s."""
    time = np.arange(8 * RATE) / RATE
    on = ((time % 2) > 0.7) & ((time % 2) < 1.3) & (time < 6)
    noise = np.random.default_rng(1).normal(0, 20, len(time))
    return (noise + 6000 * on * np.sin(2 * np.pi * 300 * time)).astype(np.int16)


@pytest.mark.parametrize("engine", [ORDER, Energy], ids=["script", "energy"])
@pytest.mark.parametrize("chunk", [0.05, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("pace", [0.5, 1.0, 3.0, 1e6])
@pytest.mark.parametrize("model", ["universal-streaming-english", "u3-rt-pro"])
def test_words_and_turns_do_not_depend_on_chunks_or_pace(
    engine: Callable[[int], Engine] | Reference, chunk: float, pace: float, model: str
) -> None:
    usual, other = (Talk(engine, query={"speech_model": model}) for _ in range(2))
    usual.speak(rhythm())
    other.speak(rhythm(), chunk=chunk, pace=pace)
    for talk in (usual, other):
        talk.finish()
    assert len(usual.finals) >= 3
    assert without_stamps(other.turns) == without_stamps(usual.turns)


@pytest.mark.parametrize(
    ("word", "gap", "query", "turns"),
    [
        # A confident end takes 400 ms of silence, another one 1280 ms.
        ("yes.", 0.399, {}, 1),
        ("yes.", 0.4, {}, 2),
        ("yes", 0.4, {}, 1),
        ("yes", 1.279, {}, 1),
        ("yes", 1.28, {}, 2),
        ("yes?", 0.4, {}, 2),
        ("yes!”", 0.4, {}, 2),
        ("yes,", 0.4, {}, 1),
        # ... by default.
        ("yes.", 0.159, {"min_turn_silence": "160"}, 1),
        ("yes.", 0.16, {"min_turn_silence": "160"}, 2),
        ("yes.", 0.16, {"min_end_of_turn_silence_when_confident": "160"}, 2),
        ("yes.", 0.799, {"min_turn_silence": "800"}, 1),
        ("yes", 0.499, {"max_turn_silence": "500"}, 1),
        ("yes", 0.5, {"max_turn_silence": "500"}, 2),
        ("yes.", 1.279, {"end_of_turn_confidence_threshold": "1"}, 1),
        ("yes.", 1.28, {"end_of_turn_confidence_threshold": "1"}, 2),
        ("yes", 0.4, {"end_of_turn_confidence_threshold": "0"}, 2),
    ],
)
@pytest.mark.parametrize("chunk", [0.05, 0.7])
def test_silence_ends_a_turn(
    word: str, gap: float, query: Mapping[str, str], turns: int, chunk: float
) -> None:
    talk = Talk(spoken((word, 0.5, 1.0), ("no", 1.0 + gap, 1.5 + gap)), query=query)
    talk.hush(3.0, chunk=chunk)
    talk.finish()
    assert len([text for text in talk.transcripts if text]) == turns


def test_a_turn_grows_word_by_word_and_finalises_all_but_the_last() -> None:
    talk = Talk(spoken(("Green", 0.1, 0.3), ("lantern", 0.3, 0.6), ("lane.", 0.6, 0.9)))
    talk.hush(2.0, chunk=0.05)
    assert [
        (turn["transcript"], [(w["text"], w["word_is_final"]) for w in turn["words"]])
        for turn in talk.turns
    ] == [
        ("", [("green", False)]),
        ("green", [("green", True), ("lantern", False)]),
        ("green lantern", [("green", True), ("lantern", True), ("lane", False)]),
        ("green lantern lane", [("green", True), ("lantern", True), ("lane", True)]),
    ]
    assert [turn["end_of_turn"] for turn in talk.turns] == [False, False, False, True]
    assert [(w["start"], w["end"]) for w in talk.turns[-1]["words"]] == [
        (100, 300),
        (300, 600),
        (600, 900),
    ]


def test_stamps_tell_the_audio_that_decided() -> None:
    talk = Talk(spoken(("Yes.", 0.32, 0.63)), Behavior(delay=0.15))
    talk.hush(2.0)
    word, final = (turn["loopback"] for turn in talk.turns)
    # The word ends in the chunk that ends at 0.7 s; 400 ms of silence are over at 1.03 s.
    assert (word["cause"], word["samples"]) == ("word", 0.7 * RATE)
    assert (final["cause"], final["samples"]) == ("silence", 1.1 * RATE)
    for stamp, arrived in ((word, 0.7), (final, 1.1)):
        assert stamp["arrived"] == pytest.approx(arrived, abs=1e-9)
        assert stamp["left"] == pytest.approx(arrived + 0.15, abs=1e-9)


@pytest.mark.parametrize(("rest", "samples"), [(0.0, 2400), (0.4, 2400), (0.6, 3200)])
def test_a_word_lies_in_the_chunk_with_whose_last_sample_it_ends(rest: float, samples: int) -> None:
    """To half a sample: a reference is written in decimals."""
    talk = Talk(spoken(("Yes.", 0.1, (2400 + rest) / RATE)))
    talk.hush(0.5)
    assert talk.turns[0]["loopback"]["samples"] == samples


@pytest.mark.parametrize(
    "lengths", [[100, 30], [30], [50, 1000, 50], [30, 100], [100, 20, 100, 20, 50, 20]]
)
def test_messages_hold_50_to_1000_ms_but_for_short_ones_alone(lengths: list[int]) -> None:
    talk = Talk()
    for length in lengths:
        talk.wait(length / 1000)
        talk.send(bytes(2 * RATE * length // 1000))
    talk.finish()
    assert talk.said[-1].message["loopback"]["bytes"] == 2 * RATE * sum(lengths) // 1000
    assert talk.closed == Close(1000, "Session Ended")


@pytest.mark.parametrize(
    ("lengths", "verdict", "at"),
    [
        ([20] * 60, 20, 0.98),  # as the real service was seen to
        ([20, 20, *[100] * 20], 20, 0.98),
        ([1000, 20, 20], 20, 1.98),  # by time, where nothing more comes
        ([1000, 20, 20, 20, 0], 20, 1.06),  # 0: Terminate
        ([1000, 40, 30], 40, 1.98),
        ([100, 1001], 1001, 1.101),
        ([2000], 2000, 2.0),
    ],
)
def test_others_end_the_session_when_the_real_service_does(
    lengths: list[int], verdict: int, at: float
) -> None:
    talk = Talk()
    for length in lengths:
        talk.wait(length / 1000)
        talk.send(bytes(2 * RATE * length // 1000) or TERMINATE)
    talk.wait(5.0)
    assert talk.error == (
        3007,
        f"{PREFIX_3007}Input Duration Violation: {verdict:.1f} ms. Expected between 50 and 1000 ms",
    )
    assert talk.said[-1].at == pytest.approx(at, abs=1e-6)


@pytest.mark.parametrize(
    ("pace", "max_speed", "backlog", "refused"),
    [
        (1.0, 1.25, 2.0, False),
        (1.2, 1.25, 2.0, False),
        (1e6, 1.25, 2.0, True),
        (2.0, 1.25, 2.0, True),
        (1e6, 1.25, 300.0, False),
        (2.0, 2.5, 2.0, False),
    ],
)
def test_audio_that_piles_up_is_refused(
    pace: float, max_speed: float, backlog: float, refused: bool
) -> None:
    talk = Talk(None, Behavior(0.0, max_speed=max_speed, backlog=backlog))
    talk.hush(20.0, pace=pace)
    if refused:
        code, text = talk.error
        assert code == 3007
        assert text.startswith(f"{PREFIX_3007}Audio Transmission Rate Exceeded: Received ")
    else:
        assert talk.closed is None


@pytest.mark.parametrize(
    ("pace", "told"),
    [
        # 0.1 s waits after the first chunk, and 0.0375 s more after each further one.
        (2.0, "Received 5.2 sec. audio in 2.6 sec"),
        (1e5, "Received 2.1 sec. audio in 0.000021 sec"),
    ],
)
def test_the_refusal_tells_how_fast_it_was(pace: float, told: str) -> None:
    talk = Talk(None, Behavior(0.0, max_speed=1.25, backlog=2.0))
    talk.hush(20.0, pace=pace)
    assert talk.error == (3007, f"{PREFIX_3007}Audio Transmission Rate Exceeded: {told}")


@pytest.mark.parametrize("chunk", [0.1, 1.0])
@pytest.mark.parametrize("early", [0.0, 1.0], ids=["end", "start"])
def test_a_client_that_keeps_pace_is_heard_on_arrival(chunk: float, early: float) -> None:
    """Whether it sends each chunk when it ends or, a chunk earlier, when it starts."""
    words = [(f"w{i}", i + 0.1, i + 0.2) for i in range(10)]
    talk = Talk(spoken(*words), Behavior(delay=0.15))
    talk.now = -chunk * early
    talk.hush(10.0, chunk=chunk)
    talk.wait(1.0)
    delays = {round(s["left"] - s["arrived"], 9) for s in (t["loopback"] for t in talk.turns)}
    assert delays == {0.15}


def test_a_burst_is_heard_no_faster_than_the_service_hears() -> None:
    talk = Talk(spoken(("one", 1.0, 2.0), ("two", 8.0, 9.0)), Behavior(0.15, max_speed=1.25))
    talk.hush(10.0, pace=1e9)
    talk.finish()
    assert talk.turns[0]["transcript"] == ""
    assert talk.said[1].at == pytest.approx(2.0 / 1.25 + 0.15, abs=0.1)
    assert talk.said[-1].message["type"] == "Termination"
    assert talk.said[-1].at == pytest.approx(10.0 / 1.25 + 0.15, abs=0.1)


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"sample_rate": "4000"}, "sample_rate"),
        ({"sample_rate": "192000"}, "sample_rate"),
        ({"sample_rate": "fast"}, "sample_rate"),
        ({"sample_rate": "nan"}, "sample_rate"),
        ({"encoding": "mp3"}, "encoding"),
        ({"min_turn_silence": "soon"}, "min_turn_silence"),
        ({"max_turn_silence": "-1"}, "max_turn_silence"),
        ({"end_of_turn_confidence_threshold": "1.1"}, "end_of_turn_confidence_threshold"),
        ({"sample_rate": "8000.5"}, "sample_rate"),
        ({"encoding": "opus"}, "encoding"),
        ({"speech_model": "u3-pro"}, "speech_model"),
        ({"vad_threshold": "2"}, "vad_threshold"),
        ({"format_turns": "maybe"}, "format_turns"),
        ({"min_turn_silence": "49"}, "min_turn_silence"),
        ({"min_end_of_turn_silence_when_confident": "10001"}, "min_turn_silence"),
        ({"inactivity_timeout": "4"}, "inactivity_timeout"),
        ({"inactivity_timeout": "3601"}, "inactivity_timeout"),
        ({"mode": "balanced"}, "mode"),
        ({"mode": "hasty", "speech_model": "universal-3-5-pro"}, "mode"),
        ({"interruption_delay": "1001"}, "interruption_delay"),
        ({"domain": "law"}, "domain"),
        ({"noise_suppression_model": "x"}, "voice_focus"),
        ({"prompt": "x" * 1751}, "prompt"),
        ({"agent_context": "[" * 1751}, "agent_context"),
        ({"keyterms_prompt": json.dumps(["x"] * 101)}, "keyterms_prompt"),
        ({"language_codes": json.dumps(["en"] * 11)}, "language_codes"),
    ],
)
def test_a_bad_parameter_is_named_before_begin(query: dict[str, str], named: str) -> None:
    talk = Talk(query=query)
    code, text = talk.error
    assert code == 3006
    assert text.startswith(f"{PREFIX_3006}Invalid '{named}': ")
    assert len(talk.said) == 1
    talk.send(bytes(1600))  # what still comes in is let pass
    assert len(talk.said) == 1


@pytest.mark.parametrize("word", ["true", "True", "1", "yes", "on"])
def test_booleans_are_read_in_any_spelling(word: str) -> None:
    talk = Talk(spoken(("Yes.", 0.1, 0.5)), query={"format_turns": word})
    talk.hush(1.0)
    assert talk.transcripts == ["Yes."]


def test_a_client_who_is_refused_hears_why_and_nothing_else() -> None:
    talk = Talk(refused=Refusal(1008, "Unauthorized Connection: Invalid API key"))
    assert talk.error == (1008, "Unauthorized Connection: Invalid API key")
    talk.wait(20000.0)
    assert len(talk.said) == 1


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ("hello", "Invalid JSON"),
        ("", "Invalid JSON"),
        ("[" * 100_000, "Invalid JSON"),
        ("[]", "Invalid Message: []"),
        ("3", "Invalid Message: 3"),
        ("{}", "Invalid Message Type: None"),
        ('{"type": "Hello"}', "Invalid Message Type: Hello"),
        ('{"type": ["Terminate"]}', "Invalid Message Type: ['Terminate']"),
        (update_configuration(max_turn_silence="x"), "Invalid 'max_turn_silence'"),
        (b"", "Invalid Message: 0 bytes"),
        (b"\0" * 1601, "Invalid Message: 1601 bytes"),
    ],
)
def test_a_frame_that_cannot_be_understood_ends_the_session(frame: str | bytes, text: str) -> None:
    talk = Talk()
    talk.send(frame)
    code, said = talk.error
    assert code == 3006
    assert said.startswith(f"{PREFIX_3006}{text}")


def test_force_endpoint_ends_the_open_turn_and_nothing_else() -> None:
    talk = Talk(spoken(("one", 0.1, 0.5), ("two", 0.6, 0.9)))
    talk.send(FORCE_ENDPOINT)  # nothing is open
    talk.hush(0.5)
    talk.send(FORCE_ENDPOINT)
    talk.hush(0.5)
    talk.finish()
    assert [(t["turn_order"], t["transcript"]) for t in talk.finals] == [(0, "one"), (1, "two")]
    assert talk.causes == ["force_endpoint", "terminate"]


@pytest.mark.parametrize(
    ("change", "turns"),
    [
        ({"max_turn_silence": 400}, 2),
        ({"max_turn_silence": None}, 1),
        ({"keyterms_prompt": ["x"] * 100, "prompt": "x" * 1750}, 1),
        ({"prompt": "x", "sample_rate": 16000, "encoding": "x"}, 1),  # rate and encoding stay
        ({"keyterms_prompt": ["one"], "language_codes": [], "made_up": {}}, 1),
        ({"end_of_turn_confidence_threshold": 0.0}, 2),
    ],
)
def test_the_configuration_can_change_in_the_middle(change: dict[str, Any], turns: int) -> None:
    talk = Talk(spoken(("one", 0.1, 0.5), ("two", 1.2, 1.5)))
    talk.hush(0.2)
    talk.send(update_configuration(**change))
    talk.send(KEEP_ALIVE)
    talk.hush(1.4)
    talk.finish()
    assert len(talk.finals) == turns
    assert talk.said[-1].message["audio_duration_seconds"] == 1


@pytest.mark.parametrize(
    ("finals", "query", "heard"),
    [
        (1, {}, [("hello there", False)]),
        (2, {}, [("hello there", False)]),
        (1, {"format_turns": "true"}, [("Hello there.", True)]),
        (2, {"format_turns": "true"}, [("hello there", False), ("Hello there.", True)]),
    ],
)
def test_a_formatted_turn_has_one_final_or_two(
    finals: int, query: dict[str, str], heard: list[tuple[str, bool]]
) -> None:
    script = spoken(("Hello", 0.1, 0.4), ("there.", 0.4, 0.7))
    talk = Talk(script, Behavior(0.0, finals=finals), query)
    talk.hush(1.5)
    assert [(t["transcript"], t["turn_is_formatted"]) for t in talk.finals] == heard
    # The utterance is told once: as soon as its sentence closes.
    utterances = [turn["utterance"] for turn in talk.turns]
    assert utterances == ["", heard[0][0] if finals == 1 else "hello there", *[""] * len(heard)]
    assert {turn["turn_order"] for turn in talk.finals} == {0}
    assert talk.turns[0]["turn_is_formatted"] is (finals == 1 and bool(query))


@pytest.mark.parametrize(
    ("script", "seconds", "finals"),
    [
        (spoken(("Yes.", 0.1, 0.5)), 0.6, [(0, "yes", "terminate")]),
        (spoken(("Yes.", 0.1, 0.5)), 1.0, [(0, "yes", "silence"), (1, "", "terminate")]),
        (spoken(("Yes.", 0.1, 0.5)), 0.4, [(0, "", "terminate")]),
    ],
)
def test_terminate_ends_the_open_turn_or_an_empty_one(
    script: Reference, seconds: float, finals: list[tuple[int, str, str]]
) -> None:
    talk = Talk(script)
    talk.hush(seconds)
    talk.finish()
    orders = [turn["turn_order"] for turn in talk.finals]
    assert list(zip(orders, talk.transcripts, talk.causes, strict=True)) == finals
    assert [said.message["type"] for said in talk.said][-2:] == ["Turn", "Termination"]


@pytest.mark.parametrize(
    ("seconds", "audio", "session"), [(0.0, 0, 1), (2.7, 2, 3), (61.05, 61, 62)]
)
def test_termination_counts_in_whole_seconds(seconds: float, audio: int, session: int) -> None:
    talk = Talk()
    talk.hush(seconds)
    talk.finish()
    end = talk.said[-1].message
    counted = end["audio_duration_seconds"], end["session_duration_seconds"]
    assert counted == (audio, session)
    assert all(type(number) is int for number in counted)
    mark = end["loopback"]
    assert (mark["bytes"], mark["samples"]) == (2 * round(seconds * RATE), round(seconds * RATE))
    assert mark["cause"] == "terminate"


def test_nothing_is_said_after_termination() -> None:
    talk = Talk(spoken(("Yes.", 0.1, 0.5)), Behavior(delay=0.5))
    talk.hush(0.6)
    talk.send(TERMINATE)
    talk.send(TERMINATE)
    talk.send(bytes(1600))
    talk.send("nonsense")
    talk.wait(10.0)
    types = [said.message["type"] for said in talk.said]
    assert types == ["Begin", "Turn", "Turn", "Termination"]
    assert talk.conversation.next is None


def jittered(seed: int) -> list[float]:
    talk = Talk(ORDER, Behavior(delay=0.1, delay_spread=2.0, seed=seed))
    talk.hush(8.0)
    talk.finish()
    stamps = [turn["loopback"] for turn in talk.turns]
    leaving = [stamp["left"] for stamp in stamps]
    decided = [stamp["samples"] for stamp in stamps]
    assert decided == sorted(decided)  # no message overtakes another
    delays = [stamp["left"] - stamp["arrived"] for stamp in stamps]
    assert min(delays) >= 0.1 - 1e-9
    assert max(delays) <= 2.1 + 1e-9
    return leaving


def test_jitter_is_drawn_between_its_bounds_and_can_be_repeated() -> None:
    assert jittered(seed=3) == jittered(seed=3)
    assert jittered(seed=3) != jittered(seed=4)


@pytest.mark.parametrize(
    ("numbers", "named"),
    [
        ({"delay": -0.1}, "delay=-0.1"),
        ({"delay_spread": -1.0}, "delay_spread=-1"),
        ({"max_speed": 0.0}, "max_speed=0"),
        ({"backlog": 0.0}, "backlog=0"),
        ({"finals": 3}, "finals=3"),
        ({"delay": math.nan}, "delay=nan"),
        ({"delay_spread": math.inf}, "delay_spread=inf"),
        ({"max_duration": 0.0}, "max_duration=0"),
        ({"max_duration": math.nan}, "max_duration=nan"),
        ({"max_duration": math.inf}, "max_duration=inf"),
        ({"max_speed": math.nan}, "max_speed=nan"),
    ],
)
def test_an_impossible_behavior_is_loud(numbers: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        Behavior(**numbers)


def keys(message: Any) -> Iterator[str]:
    if isinstance(message, dict):
        yield from message
        for value in message.values():
            yield from keys(value)
    elif isinstance(message, list):
        for value in message:
            yield from keys(value)


def test_no_message_but_an_error_has_a_key_named_error() -> None:
    """Two clients in the wild take any such message for an error."""
    talk = Talk(ORDER, Behavior(0.0, finals=2), {"format_turns": "true"})
    talk.hush(8.0)
    talk.finish()
    kinds = {said.message["type"] for said in talk.said}
    assert kinds == {"Begin", "Turn", "Termination"}
    assert all("error" not in keys(said.message) for said in talk.said)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({}, {"model": "universal-streaming-english", "mode": None}),
        ({"speech_model": "u3-rt-pro"}, {"model": "u3-rt-pro", "mode": None}),
        ({"speech_model": "universal-3-5-pro"}, {"mode": "balanced"}),
        ({"speech_model": "universal-3-6", "mode": "min_latency"}, {"mode": "min_latency"}),
        (
            {"redact_pii": "on", "domain": "medical-v1", "noise_suppression_model": "far-field"},
            {"redact_pii": True, "domain": "medical-v1", "voice_focus": "far-field"},
        ),
    ],
)
def test_begin_repeats_what_was_asked_for(query: dict[str, str], told: dict[str, Any]) -> None:
    begin = Talk(query=query).said[0].message
    assert (begin["type"], begin["id"], begin["expires_at"]) == ("Begin", "x", 1)
    assert begin["configuration"].items() >= told.items()
    assert begin["configuration"].keys() == {
        *("model", "mode", "api_version", "speaker_labels"),
        *("redact_pii", "filter_profanity", "domain", "voice_focus"),
    }


# How long a session lasts.


@pytest.mark.parametrize("seconds", [5, 60])
def test_a_session_ends_when_nothing_comes_for_long(seconds: int) -> None:
    talk = Talk(query={"inactivity_timeout": str(seconds)})
    talk.wait(seconds - 0.11)
    talk.hush(0.1)
    talk.wait(seconds - 0.01)
    talk.send(KEEP_ALIVE)
    talk.wait(seconds - 0.01)
    assert talk.closed is None
    talk.wait(0.02)
    told = f"Session terminated due to inactivity: No messages received for {seconds} seconds"
    assert talk.error == (3006, PREFIX_3006 + told)
    assert talk.said[-1].at == pytest.approx(3 * seconds - 0.02, abs=1e-6)
    assert "Termination" not in [said.message["type"] for said in talk.said]


def test_without_inactivity_timeout_a_session_may_idle_for_three_hours() -> None:
    talk = Talk()
    talk.wait(10799.9)
    assert talk.closed is None
    talk.wait(0.1)
    assert talk.error == (3008, "Session Expired: Maximum session duration exceeded")


@pytest.mark.parametrize(("max_duration", "ends"), [(1.0, True), (2.5, False), (None, False)])
def test_a_session_is_closed_when_its_time_is_over(max_duration: float | None, ends: bool) -> None:
    talk = Talk(ORDER, Behavior(0.0, max_duration=max_duration))
    talk.hush(2.0)
    if ends:
        assert talk.error[0] == 3008
        assert talk.said[-1].at == 1.0
        return
    talk.send(TERMINATE)
    assert talk.closed == Close(1000, "Session Ended")


def test_what_is_due_is_still_said_before_an_error() -> None:
    talk = Talk(spoken(("one", 0.1, 0.5), ("two", 0.6, 0.8)), Behavior(0.15))
    talk.hush(0.8)
    talk.conversation.receive("nonsense", talk.now + 0.1)  # "one" is due, "two" is not yet
    talk.wait(1.0)
    words = [[word["text"] for word in turn["words"]] for turn in talk.turns]
    assert words == [["one"]]
    assert talk.error[0] == 3006


# Newer models.

U3 = {"speech_model": "u3-rt-pro"}
U35 = {"speech_model": "universal-3-5-pro"}


@pytest.mark.parametrize(
    ("word", "gap", "query", "turns"),
    [
        # A sentence's end takes 100 ms of silence, anything else 1000 ms.
        ("yes.", 0.099, U3, 1),
        ("yes.", 0.1, U3, 2),
        ("yes?", 0.1, U3, 2),
        ("yes", 0.1, U3, 1),
        ("yes", 0.999, U3, 1),
        ("yes", 1.0, U3, 2),
        ("yes.", 0.1, {**U3, "end_of_turn_confidence_threshold": "1"}, 2),
        ("yes", 0.9, {**U3, "end_of_turn_confidence_threshold": "0"}, 1),
        ("yes.", 0.4, {**U3, "min_turn_silence": "500"}, 1),
        ("yes", 0.1, {**U3, "min_turn_silence": "100", "max_turn_silence": "100"}, 2),
        # The newest ones were never seen to end a turn in a gap of 250 ms.
        ("yes.", 0.25, U35, 1),
        ("yes.", 0.27, U35, 2),
        ("yes.", 0.25, {**U35, "mode": "min_latency"}, 1),
        ("yes", 0.25, {**U35, "min_turn_silence": "50", "max_turn_silence": "50"}, 1),
        ("yes.", 0.4, {**U35, "mode": "max_accuracy"}, 2),
        ("yes.", 0.4, {**U35, "min_turn_silence": "500"}, 1),
    ],
)
@pytest.mark.parametrize("chunk", [0.05, 0.7])
def test_newer_models_end_a_turn_where_a_sentence_ends(
    word: str, gap: float, query: Mapping[str, str], turns: int, chunk: float
) -> None:
    talk = Talk(spoken((word, 0.5, 1.0), ("no", 1.0 + gap, 1.5 + gap)), query=query)
    talk.hush(3.0, chunk=chunk)
    talk.finish()
    assert len(talk.finals) == turns
    assert all(talk.transcripts)  # no empty one in the end


@pytest.mark.parametrize("chunk", [0.05, 0.4])
def test_newer_models_tell_early_and_in_each_silence_and_in_long_turns(chunk: float) -> None:
    """An early partial at 756 ms, one in each silence that goes on, one every 3 s."""
    words = [(f"w{i}", i / 5, i / 5 + 0.2) for i in range(25)]  # 5 s without a pause
    talk = Talk(spoken(*words, ("End.", 5.3, 5.5)), query=U3)
    talk.hush(7.0, chunk=chunk)
    talk.finish()
    kinds = [said.message["type"] for said in talk.said]
    assert kinds == ["Begin", "SpeechStarted", "Turn", "Turn", "Turn", "Turn", "Termination"]
    assert (talk.said[1].message["timestamp"], talk.said[1].message["confidence"]) == (0, 1.0)
    assert [len(turn["words"]) for turn in talk.turns] == [3, 18, 25, 26]
    assert [turn["loopback"]["cause"] for turn in talk.turns] == [
        *("word", "word", "silence", "silence")
    ]
    assert [turn["end_of_turn_confidence"] for turn in talk.turns] == [0, 0, 0, 1]
    for turn in talk.turns:
        assert turn["turn_is_formatted"]
        assert turn["transcript"] == " ".join(word["text"] for word in turn["words"])
        assert {word["word_is_final"] for word in turn["words"]} == {turn["end_of_turn"]}
        assert turn["utterance"] == (turn["transcript"] if turn["end_of_turn"] else "")


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ({"interruption_delay": "0"}, [1, 16, 25]),
        ({"continuous_partials": "false"}, [3, 25]),
        ({"include_partial_turns": "false"}, [25]),
        ({"redact_pii": "true"}, [25]),
    ],
)
def test_newer_models_tell_as_much_as_they_are_asked(
    query: dict[str, str], told: list[int]
) -> None:
    words = [(f"w{i}" + "." * (i == 24), i / 5, i / 5 + 0.18) for i in range(25)]
    talk = Talk(spoken(*words), query={**U3, **query})
    talk.hush(7.0)
    assert [len(turn["words"]) for turn in talk.turns] == told
    assert [said.message["type"] for said in talk.said].count("SpeechStarted") == 1


def kinds_of(talk: Talk, kind: str) -> list[tuple[float, dict[str, Any]]]:
    return [(said.at, said.message) for said in talk.said if said.message["type"] == kind]


@pytest.mark.parametrize("chunk", [0.05, 0.7])
def test_each_second_of_silence_is_acknowledged_if_asked_for(chunk: float) -> None:
    talk = Talk(
        spoken(("One", 1.5, 2.0), ("two.", 2.2, 3.0)), query={**U3, "acknowledge_silence": "true"}
    )
    talk.hush(5.6, chunk=chunk)
    told = [(silence["start_ms"], silence["end_ms"]) for _, silence in kinds_of(talk, "Silence")]
    assert told == [(0, 1000), (3000, 4000), (4000, 5000)]


def test_silence_is_acknowledged_from_when_that_is_asked_for() -> None:
    talk = Talk(query=U3)
    talk.hush(3.5)
    talk.send(update_configuration(acknowledge_silence=True))
    talk.hush(2.0)
    talk.send(update_configuration(acknowledge_silence=False))
    talk.hush(2.0)
    told = [(silence["start_ms"], silence["end_ms"]) for _, silence in kinds_of(talk, "Silence")]
    assert told == [(3500, 4500), (4500, 5500)]
    talk = Talk(query={"acknowledge_silence": "true"})  # by newer models only
    talk.hush(3.5)
    assert kinds_of(talk, "Silence") == []


def test_the_newest_models_have_a_heartbeat_if_asked_for() -> None:
    asked = {"speech_model": "universal-3-5-pro", "session_heartbeat": "True"}
    talk = Talk(spoken(("One", 0.5, 1.0), ("two", 7.0, 7.5)), query=asked)
    talk.wait(0.02)
    talk.hush(10.0, pace=2.0)
    talk.wait(10.0)
    assert [(round(at, 6), beat) for at, beat in kinds_of(talk, "Heartbeat")] == [
        (
            at,
            {
                "type": "Heartbeat",
                "total_audio_received_ms": received,
                "total_duration_ms": 1000 * at,
                "realtime_factor": received / 1000 / at,
                "max_speech_probability": spoke,
            },
        )
        for at, received, spoke in [(5, 9900, 1.0), (10, 10000, 0.0), (15, 10000, 0.0)]
    ]
    talk.send(update_configuration(session_heartbeat=False))
    talk.wait(10.0)
    assert len(kinds_of(talk, "Heartbeat")) == 3
    talk.send(update_configuration(session_heartbeat=True))
    talk.finish()
    assert talk.said[-1].message["type"] == "Termination"
    assert len(kinds_of(talk, "Heartbeat")) == 3


def test_too_little_speech_makes_no_turn_that_silence_ends() -> None:
    talk = Talk(spoken(("a.", 0.5, 0.57), ("word.", 3.0, 3.3)))
    talk.hush(5.0)
    assert talk.transcripts == ["a word"]
    talk = Talk(spoken(("a.", 0.5, 0.58), ("word.", 3.0, 3.3)))
    talk.hush(5.0)
    assert talk.transcripts == ["a", "word"]


def test_partial_turns_can_be_left_out() -> None:
    talk = Talk(ORDER, query={"include_partial_turns": "False"})
    talk.hush(8.0)
    talk.finish()
    assert talk.turns == talk.finals


def bursts(level: float) -> tuple[np.ndarray, list[tuple[float, float]]]:
    """Quiet noise with three bursts of a tone, and where these are."""
    spans = [(1.0, 1.8), (3.0, 3.5), (5.2, 6.4)]
    time = np.arange(8 * RATE) / RATE
    on = np.any([(time >= start) & (time < end) for start, end in spans], axis=0)
    noise = np.random.default_rng(5).normal(0, 30, len(time))
    return (noise + level * on * np.sin(2 * np.pi * 250 * time)).astype(np.int16), spans


@pytest.mark.parametrize("level", [1000, 20000])
def test_energy_marks_speech_to_60_ms_and_invents_no_words(level: float) -> None:
    audio, spans = bursts(level)
    talk = Talk()
    talk.speak(audio)
    talk.finish()
    marked = [w for turn in talk.finals for w in turn["words"]]
    assert len(marked) == len(spans)
    for word, (start, end) in zip(marked, spans, strict=True):
        assert word["start"] / 1000 == pytest.approx(start, abs=0.06)
        assert word["end"] / 1000 == pytest.approx(end, abs=0.06)
        assert word["text"].startswith("[speech ")
        assert word["text"].endswith(" s]")


def test_the_vad_threshold_tells_how_loud_speech_must_be() -> None:
    audio, spans = bursts(500)

    def marked(threshold: str | None, change: float | None = None) -> int:
        talk = Talk(query={} if threshold is None else {"vad_threshold": threshold})
        if change is not None:
            talk.send(update_configuration(vad_threshold=change))
        talk.speak(audio)
        talk.finish()
        return sum(len(turn["words"]) for turn in talk.finals)

    assert marked(None) == marked("0.4") == marked("0.1") == len(spans)
    assert marked("1") == marked(None, change=1.0) == marked("0.99") == 0
    assert marked("1", change=0.4) == len(spans)


def test_force_endpoint_splits_speech_that_is_marked_by_energy() -> None:
    audio, _ = bursts(5000)
    talk = Talk()
    talk.speak(audio[: round(1.4 * RATE)])
    talk.send(FORCE_ENDPOINT)
    talk.speak(audio[round(1.4 * RATE) :])
    talk.finish()
    first, second = talk.finals[:2]
    assert (talk.causes[0], first["words"][-1]["end"]) == ("force_endpoint", 1400)
    assert second["words"][0]["start"] == 1400


@pytest.mark.parametrize("loudness", [0, 1, 10, 50])
def test_energy_hears_nobody_in_quiet_noise(loudness: float) -> None:
    talk = Talk()
    talk.speak(np.random.default_rng(2).normal(0, loudness, 20 * RATE).astype(np.int16))
    talk.finish()
    assert talk.transcripts == [""]


def test_a_click_is_no_speech() -> None:
    audio = np.zeros(3 * RATE, dtype=np.int16)
    audio[RATE : RATE + RATE // 50] = 20000
    talk = Talk()
    talk.speak(audio)
    talk.finish()
    assert talk.transcripts == [""]


class Diary:
    """An engine that keeps what it hears."""

    def __init__(self) -> None:
        self.samples: list[int] = []

    def hear(self, samples: np.ndarray) -> Iterator[Sound]:
        self.samples += samples.tolist()
        return iter(())

    def finish(self) -> Iterator[Sound]:
        return iter(())


def test_mu_law_is_expanded_to_16_bits() -> None:
    """The ends and the middle of G.711's table of decoded values."""
    table = {
        0x00: -32124,
        0x01: -31100,
        0x0F: -16764,
        0x10: -15996,
        0x7E: -8,
        0x7F: 0,
        0x80: 32124,
        0x8F: 16764,
        0x90: 15996,
        0xFE: 8,
        0xFF: 0,
    }
    diary = Diary()
    talk = Talk(lambda rate: diary, query={"encoding": "pcm_mulaw"})
    talk.wait(1.0)
    talk.send(bytes(table).ljust(RATE // 20, b"\xff"))
    assert diary.samples[: len(table)] == list(table.values())
    assert set(diary.samples[len(table) :]) == {0}
    talk.finish()
    mark = talk.said[-1].message["loopback"]
    assert (mark["bytes"], mark["samples"]) == (RATE // 20, RATE // 20)


REAL = Behavior(0.15, begin_delay=1.2, refusal_delay=0.75, endpoint_delay=0.27, finish_delay=0.6)


def kinds(talk: Talk) -> list[tuple[str, float]]:
    return [(said.message["type"], round(said.at, 6)) for said in talk.said]


def test_by_real_timing_a_session_begins_and_ends_as_the_real_ones_do() -> None:
    talk = Talk(spoken(("Yes", 0.1, 0.3), ("and", 0.5, 0.7)), REAL)
    talk.wait(1.2)
    assert kinds(talk) == [("Begin", 1.2)]
    talk.hush(0.4)
    talk.send(FORCE_ENDPOINT)
    talk.hush(0.4)
    assert kinds(talk)[-1:] == [("Turn", 1.87)]
    talk.finish()  # in the middle of a turn
    assert kinds(talk)[-2:] == [("Turn", 2.6), ("Termination", 3.2)]


@pytest.mark.parametrize("model", ["universal-streaming-english", "u3-rt-pro"])
def test_with_nothing_open_it_ends_sooner(model: str) -> None:
    talk = Talk(spoken(("Yes", 5.0, 6.0)), REAL, {"speech_model": model})
    talk.hush(2.0)
    talk.finish()
    assert kinds(talk)[-1] == ("Termination", 2.6)


def test_nothing_overtakes_a_late_begin_but_what_is_wrong() -> None:
    talk = Talk(spoken(("Yes", 0.1, 0.3)), REAL)
    talk.hush(1.0, pace=10.0)
    talk.wait(2.0)
    assert kinds(talk)[:2] == [("Begin", 1.2), ("Turn", 1.2)]
    talk = Talk(spoken(("Yes", 0.1, 0.3)), REAL)
    talk.send("[]")
    talk.wait(2.0)
    assert kinds(talk) == [("Error", 0.75)]
    talk = Talk(None, REAL, refused=Server.refusal("no key"))
    talk.wait(2.0)
    assert kinds(talk) == [("Error", 0.75)]


@pytest.mark.parametrize(
    ("query", "update", "at"),
    [
        ({}, {}, 1.17),
        ({"mode": "balanced"}, {}, 1.17),
        ({"mode": "min_latency"}, {}, 0.58),
        ({}, {"mode": "min_latency"}, 0.58),
        ({"mode": "min_latency", "interruption_delay": "100"}, {}, 0.356),
    ],
)
def test_the_mode_says_how_soon_a_turn_is_told_of(
    query: dict[str, str], update: dict[str, str], at: float
) -> None:
    words = [(f"w{i}", 1 + i / 5, 1.2 + i / 5) for i in range(15)]
    talk = Talk(spoken(*words), query={**U35, **query})
    if update:
        talk.send(update_configuration(**update))
    talk.hush(3.0, chunk=0.05)
    kind, began = kinds(talk)[1]
    assert kind == "SpeechStarted"
    assert 1 + at <= began < 1 + at + 0.05


def test_an_utterance_is_told_when_its_sentence_closes() -> None:
    talk = Talk(spoken(("One", 0.1, 0.3), ("two.", 0.3, 0.5), ("Three.", 0.6, 0.9), ("So", 1, 1.2)))
    talk.hush(1.3)
    talk.finish()
    assert [(turn["transcript"], turn["utterance"]) for turn in talk.turns] == [
        ("", ""),
        ("one", "one two"),  # with the last word, which is not final yet
        ("one two", "three"),
        ("one two three", ""),
        ("one two three so", "so"),
    ]


def test_confidence_differs_from_word_to_word_and_is_the_same_again() -> None:
    def sure(seed: int) -> list[dict[str, float]]:
        talk = Talk(ORDER, Behavior(0.0, seed=seed))
        talk.hush(8.0)
        return [{w["text"]: w["confidence"] for w in turn["words"]} for turn in talk.turns]

    first = sure(1)
    assert first == sure(1) != sure(2)
    told = {word: value for turn in first for word, value in turn.items()}
    assert len(set(told.values())) == len(ORDER.words)
    assert all(0.6 <= value <= 1 for value in told.values())
    assert all(told[word] == value for turn in first for word, value in turn.items())


def by(speaker: str | None, *words: tuple[str, float, float]) -> SpokenTurn:
    return replace(spoken(*words).turns[0], speaker=speaker)


LABELED = {"speaker_labels": "true"}


def test_speakers_are_labeled_on_finals_and_short_turns_in_the_end() -> None:
    call = Reference(
        (
            by("agent", ("Good", 0.0, 0.5), ("morning.", 0.5, 1.1)),
            by("caller", ("Hello.", 2.0, 2.4)),
            by("agent", ("How", 3.4, 3.8), ("late?", 3.8, 4.5)),
            by(None, ("Noise,", 5.5, 6.0), ("somewhere.", 6.0, 6.6)),
        )
    )
    talk = Talk(call, query=LABELED)
    talk.hush(8.0)
    talk.finish()
    assert [turn.get("speaker_label") for turn in talk.finals] == [
        *("A", "UNKNOWN", "A", "UNKNOWN", "UNKNOWN")  # the last one is empty
    ]
    assert not any("speaker_label" in turn for turn in talk.turns if not turn["end_of_turn"])
    assert [word["speaker"] for word in talk.finals[0]["words"]] == ["A", "A"]
    *_, revision, end = (said.message for said in talk.said)
    assert end["type"] == "Termination"
    [revised] = revision["revisions"]
    assert (revised["turn_order"], revised["speaker_label"]) == (1, "B")
    assert [word["speaker"] for word in revised["words"]] == ["B"]
    SpeakerRevisionEvent.model_validate(revision)


def test_without_labels_nobody_is_named() -> None:
    talk = Talk(Reference((by("agent", ("Good", 0.0, 0.5), ("day.", 0.5, 1.1)),)))
    talk.hush(2.0)
    talk.finish()
    assert "speaker" not in json.dumps([said.message for said in talk.said[1:]])


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({}, None),
        ({"language_detection": "false"}, None),
        ({"language_detection": "True"}, "en"),
        ({"language_detection": "true", "language_codes": '["de", "fr"]'}, "de"),
        ({"language_detection": "true", "language_codes": '["multi"]'}, "en"),
        ({"language_detection": "true", "language_code": "es"}, "es"),
    ],
)
def test_a_language_is_told_with_what_is_complete(query: dict[str, str], code: str | None) -> None:
    talk = Talk(spoken(("Hello", 0.1, 0.4), ("there.", 0.4, 0.7)), query=query)
    talk.hush(2.0)
    told = [turn.get("language_code") for turn in talk.turns]
    assert told == [None, code, code]
    assert all(0 < turn.get("language_confidence", 1) <= 1 for turn in talk.turns)
