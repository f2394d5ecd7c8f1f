"""Which service: who is beaten, who is left out, and what the picture shows of it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from conftest import simulate
from doubles import talk
from facts import CALL, session
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from rtkit.analysis.statistics.tradeoff import tradeoff
from rtkit.audio import open_clip
from rtkit.session import Session
from rtkit.views.services import FRONT, plot_services

CLIP = open_clip(CALL, seconds=25)


def measured(dialect: str, delay: float, wrong: int = 0, **how: Any) -> Session:
    """A session in which the service hears so many words, spread evenly, wrong."""
    assert CLIP.reference is not None
    count, turns = 0, []
    every = len(CLIP.reference.words) // wrong if wrong else 0
    for turn in CLIP.reference.turns:
        words = []
        for word in turn.words:
            count += 1
            words.append(replace(word, text="hm") if every and not count % every else word)
        turns.append(replace(turn, words=tuple(words)))
    script = replace(CLIP.reference, turns=tuple(turns))
    one = simulate(talk(replace(CLIP, reference=script), dialect, delay=delay, **how))
    return replace(one, reference=CLIP.reference)


@pytest.fixture(scope="module")
def sessions() -> dict[str, Session]:
    same: dict[str, Any] = {"parameters": {"endpointing": 500}}
    return {
        "quick": measured("deepgram", 0.1, wrong=6, **same),
        "right": measured("deepgram", 0.3, **same),
        "beaten": measured("deepgram", 0.4, wrong=3, **same),
        "hasty": measured("deepgram", 0.1, wrong=6, parameters={"endpointing": 10}),
        "late": measured("deepgram", 0.1, pacing="fixed_sleep", work=0.01, **same),
        "deaf": session([0.0] * 5),
    }


def test_a_session_is_best_if_no_other_beats_it(sessions: dict[str, Session]) -> None:
    places = {place.name: place for place in tradeoff(sessions)}
    # late is not valid, and deaf heard nothing.
    assert list(places) == ["quick", "right", "beaten", "hasty"]
    assert {name for name, place in places.items() if place.best} == {"right", "hasty"}
    apart = places["right"].latency.value - places["quick"].latency.value
    assert apart == pytest.approx(0.2, abs=1e-6)
    assert places["right"].errors.value == 0
    for place in places.values():
        assert place.latency.low <= place.latency.value <= place.latency.high
        if place.errors.value:  # without an error there is no interval
            assert 0 <= place.errors.low <= place.errors.value <= place.errors.high


def test_against_early_cut_offs_patience_is_worth_something(sessions: dict[str, Session]) -> None:
    places = {place.name: place for place in tradeoff(sessions, against="early_cut_offs")}
    assert places["hasty"].errors.value > 0.3
    assert places["quick"].errors.value == 0
    none_seen = places["quick"].errors  # the rule of three: up to about 3 in as many turns
    assert none_seen.low == 0
    assert 2 < none_seen.high * none_seen.count < 4
    assert {name for name, place in places.items() if place.best} == {"quick", "hasty"}


def test_equals_do_not_beat_one_another(sessions: dict[str, Session]) -> None:
    twins = {"one": sessions["right"], "other": sessions["right"]}
    assert [place.best for place in tradeoff(twins)] == [True, True]


@pytest.mark.parametrize(
    ("how", "words"),
    [({"of": "waiting"}, "unknown of 'waiting'"), ({"against": "all"}, "unknown against 'all'")],
)
def test_what_is_unknown_is_told_with_what_there_is(how: dict[str, str], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        tradeoff([], **how)


@pytest.fixture
def ax() -> Axes:
    return Figure().subplots()


def test_the_picture_has_a_dot_each_and_tells_who_is_left_out(
    sessions: dict[str, Session], ax: Axes
) -> None:
    artists = plot_services(sessions, ax=ax)
    lines = [one for one in artists if isinstance(one, Line2D)]
    front, dots = lines[0], [one for one in lines if one.get_marker() in ("o", "D")]
    places = tradeoff(sessions)
    for dot, place in zip(dots, places, strict=True):
        (x,), (y,) = (np.asarray(values, dtype=float) for values in dot.get_data())
        assert x == pytest.approx(1000 * place.latency.value)
        assert y == pytest.approx(100 * place.errors.value)
        assert (dot.get_marker() == "o") is place.best
    assert sorted(np.asarray(front.get_xdata(), dtype=float)) == sorted(
        1000 * place.latency.value for place in places if place.best
    )
    legend = ax.get_legend()
    assert legend is not None
    assert legend.get_title().get_text() == "2 of 6 left out: not valid, or without a value"
    assert FRONT in [text.get_text() for text in legend.get_texts()]
    assert ax.get_xlim()[0] <= 0
    assert ax.get_ylim()[0] <= 0


def test_without_any_value_it_says_so(ax: Axes) -> None:
    assert plot_services({"deaf": session([0.0] * 5)}, ax=ax) == []
    assert [text.get_text() for text in ax.texts] == ["no valid session has both values"]
    assert plot_services([], ax=Figure().subplots()) == []


def test_services_without_an_error_have_an_axis_of_percent(sessions: dict[str, Session]) -> None:
    ax = Figure().subplots()
    plot_services({"right": sessions["right"]}, ax=ax)
    low, high = ax.get_ylim()
    assert -0.1 < low <= 0 < 1 <= high
