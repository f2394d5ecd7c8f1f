"""Sessions are called by what tells them apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from facts import settings

from rtkit.analysis.naming import told_apart
from rtkit.session import Session

EMBEDDED = {"name": "embedded", "delay": 0.15}


def a_session(started: str = "", **asked: Any) -> Session:
    return Session(replace(settings(service=EMBEDDED), **asked), {}, started, 0.0)


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        ([], []),
        ([{}], ["wall clock"]),
        ([{}, {}], ["wall clock", "wall clock (2)"]),
        ([{}, {"pacing": "fixed_sleep"}], ["wall clock", "fixed sleep"]),
        ([{"chunk": 0.05}, {"chunk": 0.0625}], ["50 ms", "62.5 ms"]),
        # What differs is said, also where less would do; but only of what matters most.
        (
            [{}, {"recording": "tone.wav", "chunk": 0.2, "first": 100}],
            ["call, 100 ms", "tone, 200 ms"],
        ),
        ([{}, {"first": 500, "samples": 500}], ["0 to 1 s", "0.5 to 1 s"]),
        ([{"channel": 0}, {"channel": 1}], ["channel 1", "channel 2"]),
        ([{"work": 0.005}, {"work": "fft"}], ["5 ms of work", "fft"]),
        ([{}, {"isolation": "thread"}], ["sender in a loop", "sender in a thread"]),
        ([{"started": "2026-11-24T09:30"}, {"started": "2026-11-25T10:00"}], None),
        (
            [{}, {"service": {"name": "AssemblyAI", "delay": 0.15}}],
            ["embedded", "AssemblyAI"],
        ),  # and not the delay, which is the same
        ([{}, {"service": {**EMBEDDED, "delay": 0.3}}], ["delay 150 ms", "delay 300 ms"]),
        (
            [{}, {"pacing": "unpaced"}, {}, {"work": 0.01}],
            [
                *("wall clock, 0 ms of work", "unpaced, 0 ms of work"),
                *("wall clock, 0 ms of work (2)", "wall clock, 10 ms of work"),
            ],
        ),
    ],
)
def test_names_say_what_differs(asked: list[dict[str, Any]], names: list[str] | None) -> None:
    found = told_apart([a_session(**one) for one in asked])
    assert len(set(found)) == len(found)
    if names is None:
        assert [name[:6] for name in found] == ["24 Nov", "25 Nov"]
    else:
        assert found == names
