"""What goes without saying of a service: by its own word, and of those that did not say so yet."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from facts import session, settings

import rtkit
from rtkit.analysis.naming import service_of

HEARD = session([0.0] * 3, reference=[("one", 0.0, 0.15)])


def label(described: dict[str, Any]) -> str:
    return service_of(replace(HEARD, settings=settings(service=described)))


EMBEDDED = {
    "name": "embedded",
    "engine": "script",
    "delay": 0.15,
    "delay_spread": 0.0,
    "seed": 7,
    "max_speed": 1.25,
    "speech_model": "universal-streaming-english",
    "format_turns": False,
    "parameters": {},
}
REAL = {
    "name": "AssemblyAI",
    "host": "streaming.assemblyai.com",
    "speech_model": "universal-streaming-english",
    "format_turns": False,
    "parameters": {},
}


@pytest.mark.parametrize(
    ("described", "words"),
    [
        (EMBEDDED, "embedded, delay 150 ms"),
        ({**EMBEDDED, "max_speed": 2}, "embedded, delay 150 ms, max_speed=2"),
        ({**EMBEDDED, "engine": "energy"}, "embedded, marks speech, delay 150 ms"),
        ({**EMBEDDED, "speech_model": "u3"}, "embedded, delay 150 ms, u3"),
        (REAL, "AssemblyAI, universal-streaming-english"),
        (
            {**REAL, "host": "streaming.eu.assemblyai.com", "format_turns": True},
            "AssemblyAI, host=streaming.eu.assemblyai.com, universal-streaming-english, "
            "format_turns=true",
        ),
    ],
)
def test_older_files_are_labeled_as_ever(described: dict[str, Any], words: str) -> None:
    assert label(described) == words


@pytest.mark.parametrize(
    ("service", "words"),
    [
        (rtkit.Loopback(seed=7), "embedded, delay 150 ms"),
        (rtkit.Loopback(max_speed=2.0), "embedded, delay 150 ms, max_speed=2.0"),
        (rtkit.Loopback(speech_model="u3-rt-pro"), "embedded, delay 150 ms, u3-rt-pro"),
        (rtkit.AssemblyAI(key="any"), "AssemblyAI, universal-streaming-english"),
        (rtkit.AssemblyAI(key="any", format_turns=True), "AssemblyAI, universal-streaming-english, "
         "format_turns=true"),
    ],
)  # fmt: skip
def test_a_service_says_itself_what_goes_without_saying(service: Any, words: str) -> None:
    assert label(service.describe(HEARD.reference)) == words


def test_what_is_usual_for_one_service_need_not_be_for_another() -> None:
    quick = {"name": "Quick", "delay": 0.01, "usual": {"delay": 0.01}}
    assert label(quick) == "Quick"
    assert label({**quick, "delay": 0.15}) == "Quick, delay 150 ms"
