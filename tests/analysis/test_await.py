"""A session that was forgotten to be awaited is said to be one, wherever it is given."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from facts import session
from matplotlib.figure import Figure

import rtkit

ONE: dict[str, Callable[[Any], object]] = {
    name: getattr(rtkit, name)
    for name in (
        "validity", "diagnose", "wer", "drift", "jitter", "word_latency", "partial_latency",
        "turn_latency", "first_word_latency", "save_transcript", "show_transcript", "show_partials",
    )
}  # fmt: skip
SEVERAL: dict[str, Callable[[Any], object]] = {
    **{name: getattr(rtkit, name) for name in ("summarize", "rescore", "to_frame",
                                              "quantile_intervals", "plot_comparison",
                                              "plot_distributions")},
    "report": lambda what: rtkit.report(what, "page.html"),
    "worst_cases": rtkit.worst_cases,
    "plot_lateness": lambda what: rtkit.plot_lateness(what, ax=Figure().subplots()),
    "plot_timeline": lambda what: rtkit.plot_timeline(what, ax=Figure().subplots()),
    "plot_rescored": lambda what: rtkit.plot_rescored(what, ax=Figure().subplots()),
    "plot_distribution": lambda what: rtkit.plot_distribution(what, ax=Figure().subplots()),
    "plot_turn_latency": lambda what: rtkit.plot_turn_latency(what, ax=Figure().subplots()),
    "timeline": rtkit.timeline,
    "play": lambda what: rtkit.play(rtkit.silence(1), what),
}  # fmt: skip


async def forgotten() -> None: ...


@pytest.mark.parametrize("name", [*ONE, *SEVERAL])
def test_a_forgotten_await_is_said_to_be_one(name: str) -> None:
    """And Python has nothing to complain of: the coroutine is closed."""
    call = {**ONE, **SEVERAL}[name]
    with pytest.raises(TypeError, match=r"await it, as in session = await rtkit\.stream\(clip\)"):
        call(forgotten())


@pytest.mark.parametrize("name", SEVERAL)
def test_one_of_several_may_be_forgotten(name: str) -> None:
    with pytest.raises(TypeError, match="await it"):
        SEVERAL[name]({"a": session([0.0]), "b": forgotten()})


@pytest.mark.parametrize("name", [name for name in ONE if name != "diagnose"])
def test_what_is_not_one_session_is_told(name: str) -> None:
    with pytest.raises(TypeError, match=r"several sessions; give one of them, by name: 'a'"):
        ONE[name]({"a": session([0.0])})
    with pytest.raises(
        TypeError,
        match=r"'runs/a\.jsonl' is not a session; give "
        r"rtkit\.load_session",
    ):
        ONE[name]("runs/a.jsonl")
    with pytest.raises(TypeError, match="a int is not a session"):
        ONE[name](3)


@pytest.mark.parametrize(
    "compare",
    [rtkit.compare_pacings, partial(rtkit.compare_paired, before="a", after="b")],
    ids=["compare_pacings", "compare_paired"],
)
def test_a_forgotten_sweep_is_said_to_be_one(compare: Callable[[Any], object]) -> None:
    with pytest.raises(TypeError, match=r"await it, as in table = await rtkit\.sweep\(clips\)"):
        compare(forgotten())
    with pytest.raises(TypeError, match=r"a dict is not a table; give what rtkit\.sweep returned"):
        compare({"a": session([0.0])})
