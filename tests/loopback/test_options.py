"""What may be asked of the embedded service: spelled once, for code, command line and child."""

from __future__ import annotations

import inspect
import json
import math
import pickle
import sys
from dataclasses import fields
from typing import Any

import pytest
from facts import CALL

from rtkit.loopback import command
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.options import Options
from rtkit.loopback.process import Loopback
from rtkit.reference import read_reference

ASKED: dict[str, Any] = {
    "script": CALL.with_suffix(".json"),
    "recording": CALL,
    "delay": 0.4,
    "delay_spread": 0.1,
    "seed": 3,
    "timing": "real",
    "begin_delay": 0.2,
    "refusal_delay": 0.3,
    "endpoint_delay": 0.4,
    "finish_delay": 0.5,
    "max_speed": 2.0,
    "backlog": 5.0,
    "finals": 2,
    "faults": ("drop@2.5x1", "late_begin"),
    "max_duration": 60.0,
    "key": "sesame",
    "max_sessions": 4,
    "sessions_per_minute": 9,
    "max_connections": 7,
    "origins": ("http://localhost:3000", "http://localhost:4000"),
    "compression": False,
}


def as_text(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, tuple):  # again for more
        return [part for one in value for part in (flag.removesuffix("s"), one)]
    if isinstance(value, bool):
        return [flag if value else f"--no-{name}"]
    return [flag, str(value)]


def by_command(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Options:
    served: list[Options] = []

    async def serve(port: int, options: Options, *_: object) -> None:
        served.append(options)

    monkeypatch.setattr(command, "_serve", serve)
    monkeypatch.setattr(sys, "argv", ["rtkit.loopback", *arguments])
    command.main()
    return served[0]


def test_what_is_asked_in_code_can_be_asked_at_the_command_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ASKED.keys() | {"protocol", "engine", "replay"} == {one.name for one in fields(Options)}
    text = [part for name, value in ASKED.items() for part in as_text(name, value)]
    assert by_command(monkeypatch, *text) == Options(**ASKED)
    assert by_command(monkeypatch) == Options()


def test_a_child_is_told_all_of_it() -> None:
    options = Options(**ASKED)
    assert Options.from_json(json.loads(json.dumps(options.to_json()))) == options
    assert Options.from_json(Options().to_json()) == Options()
    elsewhere = {**options.to_json(), "recording": "/not/on/this/host.wav"}
    assert Options.from_json(elsewhere) == Options(
        **{**ASKED, "script": options.reference, "recording": None}
    )
    assert options.reference == read_reference(CALL.with_suffix(".json"))


def test_a_service_takes_the_same_and_a_copy_of_it_asks_for_the_same() -> None:
    service = Loopback(**ASKED, speech_model="u3-rt-pro", parameters={"min_turn_silence": 160})
    assert service.to_json() == Options(**ASKED).to_json()
    assert pickle.loads(pickle.dumps(service)).describe() == service.describe()
    taken = set(inspect.signature(Loopback).parameters)
    assert taken == {one.name for one in fields(Options)} | {
        *("speech_model", "format_turns", "parameters"),
    }


def test_how_it_behaves_is_what_was_asked_for() -> None:
    assert Options(**ASKED).behavior == Behavior(0.4, 0.1, 3, 2.0, 5.0, 2, 60.0, 0.2, 0.3, 0.4, 0.5)
    real = Options(timing="real", endpoint_delay=0.1).behavior
    assert real == Behavior(
        begin_delay=1.2, refusal_delay=0.75, endpoint_delay=0.1, finish_delay=0.6
    )
    assert Options().behavior == Behavior()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"protocol": "morse"}, "unknown dialect 'morse'; one of 'assemblyai'"),
        ({"engine": "typist"}, "unknown engine 'typist'"),
        ({"delay": -1.0}, "delay=-1"),
        ({"recording": CALL}, "a recording needs its script"),
        ({"timing": "slow"}, "unknown timing 'slow'; one of 'quick', 'real'"),
        ({"finish_delay": -1.0}, "finish_delay=-1 must be 0 or more seconds"),
        ({"faults": "explode"}, "unknown fault 'explode'"),
        ({"max_sessions": 0}, "max_sessions=0"),
        ({"key": " "}, "key="),
        ({"finals": 3}, "finals=3"),
    ],
)
def test_what_cannot_be_is_refused_at_once(asked: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Loopback(**asked)


@pytest.mark.parametrize(
    "asked", [{"max_speed": math.inf}, {"backlog": math.inf}, {"protocol": "deepgram"}]
)
def test_what_has_no_bound_can_be_recorded(asked: dict[str, Any]) -> None:
    """JSON has no infinity, and a session that holds one would not load."""
    json.dumps(Loopback(**asked).describe(), allow_nan=False)
