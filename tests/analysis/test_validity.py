"""A session whose figures say nothing of the service says so, why, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from facts import CALL, session
from matplotlib.figure import Figure
from matplotlib.text import Text

from rtkit.analysis.summary import summarize
from rtkit.analysis.validity import validity
from rtkit.audio import open_clip
from rtkit.experiments.simulate import simulate
from rtkit.session import Ending, Message, Session, Stall
from rtkit.views.plots import plot_lateness

ON_TIME = [0.0] * 10


def sent(lateness: Sequence[float] = ON_TIME, *messages: str, **changes: Any) -> Session:
    return session(lateness, *(Message(1.1, text) for text in messages), **changes)


def ended(at: float, calendar: float) -> Session:
    return replace(sent(), ending=Ending("complete", at=at, calendar=calendar))


def leaving(seconds: float) -> Session:
    """A chunk took so long to leave."""
    found = sent()
    first, *rest = found.chunks
    return replace(found, chunks=(replace(first, returned=first.sent + seconds), *rest))


def stalled(*seconds: float, before: float = 0.001) -> Session:
    """The loop stalled for so long; an answer was seen so many seconds after that."""
    answered = sent(ON_TIME, '{"type": "SpeechStarted"}')
    return replace(answered, stalls=tuple(Stall(1.1 - before, stall) for stall in seconds))


def terminated(received: int | None) -> str:
    counted = "" if received is None else f', "loopback": {{"bytes": {received}, "samples": 0}}'
    return (
        '{"type": "Termination", "audio_duration_seconds": 1, "session_duration_seconds": 1'
        f"{counted}}}"
    )


@pytest.mark.parametrize(
    ("one", "name", "shown", "fix"),
    [
        (sent(pacing="unpaced"), "unpaced", "not paced", "pacing='wall_clock'"),
        (sent(ending=None), "incomplete", "was cut off after 10 chunks", "again"),
        (sent(ending="stopped"), "incomplete", "stopped after 10 chunks", "again"),
        (sent([], ending="failed"), "incomplete", "failed after 0 chunks", "again"),
        (sent([0.0125] * 10), "late", "p99 is 12.5 ms, more than 10 ms", "isolation='process'"),
        (sent([-0.0125] * 10), "late", "p99 is 12.5 ms, more than 10 ms", "Free the sender"),
        (sent([0.02] * 10, seconds=0.05), "late", "20.0 ms, more than 5 ms", "Free the sender"),
        (
            sent([0.0125] * 10, pacing="fixed_sleep"),
            "late",
            "p99 is 12.5 ms",
            "pacing='wall_clock'",
        ),
        (stalled(0.02, 0.3), "stall", "had stalled (2×), for up to 300 ms", "isolation='process'"),
        (leaving(0.05), "backpressure", "took 50 ms to leave, more than 10 ms", "network"),
        (ended(10.0, 3610.0), "clock", "moved +3600.0 s apart", "slept"),
        (ended(10.0, 9.5), "clock", "moved -0.5 s apart", "slept"),
        (sent(ON_TIME, terminated(1996)), "lost", "2000 bytes were sent and 1996", "connection"),
        (sent(ON_TIME, "{", "["), "lost", "2 messages could not be read", "session.messages"),
    ],
)
def test_each_fault_has_a_name_a_figure_and_a_cure(
    one: Session, name: str, shown: str, fix: str
) -> None:
    found = validity(one)
    (problem,) = found.problems
    assert problem.name == name
    assert shown in problem.found
    assert fix in problem.fix
    assert not found
    assert str(found) == repr(found) == f"not valid: {problem.found}. {problem.fix}"


@pytest.mark.parametrize(
    "one",
    [
        sent(),
        sent([0.0099] * 10),
        sent(ON_TIME, terminated(2000)),
        sent(ON_TIME, terminated(None)),  # a service that does not count
        sent(ON_TIME, '{"type": "SpeechStarted"}'),  # unknown, and read
        stalled(0.01),
        stalled(0.3, before=0.02),  # nothing had waited for its end
        stalled(0.3, before=-0.02),  # the answer had come before
        leaving(0.009),
        ended(10.0, 10.2),
        ended(10.0, 9.8),
    ],
)
def test_what_is_within_bounds_is_valid(one: Session) -> None:
    found = validity(one)
    assert found.problems == ()
    assert found
    assert str(found) == "valid"


def test_a_perfect_session_is_valid_and_its_naive_twin_is_not() -> None:
    clip = open_clip(CALL, seconds=10)
    assert validity(simulate(clip, work=0.003))
    naive = validity(simulate(clip, work=0.003, pacing="fixed_sleep"))
    assert [problem.name for problem in naive.problems] == ["late"]


def test_every_fault_is_told() -> None:
    one = replace(
        leaving(0.05),
        settings=sent(pacing="unpaced").settings,
        stalls=(Stall(1.095, 0.3),),
        messages=(Message(1.1, terminated(1)),),
        ending=Ending("stopped", at=1, calendar=5),
    )
    found = validity(one)
    expected = ["incomplete", "unpaced", "stall", "backpressure", "clock", "lost"]
    assert [problem.name for problem in found.problems] == expected
    assert all(problem.fix in str(found) for problem in found.problems)


@pytest.mark.parametrize(
    ("one", "name"),
    [
        (sent([0.02] * 10), "late"),
        (stalled(0.02), "stall"),
        (leaving(0.02), "backpressure"),
    ],
)
def test_the_budget_is_a_share_of_a_chunk(one: Session, name: str) -> None:
    assert validity(one, budget=0.21)
    assert [problem.name for problem in validity(one, budget=0.19).problems] == [name]


def test_one_late_chunk_in_two_hundred_is_within_the_99th_percentile() -> None:
    assert validity(sent([0.0] * 199 + [0.5]))
    assert not validity(sent([0.0] * 99 + [0.5] * 10))


# Where it is shown.


def test_a_table_tells_below_which_sessions_are_not_valid_and_why() -> None:
    table = summarize({"good": sent(), "bad": stalled(0.3), "worse": sent(ending="failed")})
    assert [note.partition(" is not valid: ")[0] for note in table.notes] == ["bad", "worse"]
    for text in str(table), table._repr_html_():
        assert "for up to 300 ms" in text
        assert "Run it again to its end." in text
    assert summarize(sent()).notes == ()


@pytest.mark.parametrize(("bad", "shown"), [(sent(), False), (stalled(0.3), True)])
def test_a_figure_tells_that_a_session_is_not_valid(bad: Session, shown: bool) -> None:
    figure = Figure()
    plot_lateness({"good": sent(), "bad": bad}, ax=figure.subplots())
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert any("not valid" in text for text in texts) is shown


@pytest.mark.parametrize("budget", [0, -0.1, float("nan"), float("inf")])
def test_a_budget_that_is_no_share_is_refused(budget: float) -> None:
    with pytest.raises(ValueError, match="is no share of a chunk"):
        validity(sent(), budget=budget)
