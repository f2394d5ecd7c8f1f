"""What is shown of a session that a cell or a script waits for."""

from __future__ import annotations

import io
import re
import sys
from types import SimpleNamespace

import pytest
from conftest import MakeClip

import rtkit
from rtkit.session import Ending
from rtkit.widgets.progress import STEP


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _outside_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))


def a_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal; within the test, as pytest sets its own before that."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def lines(terminal: Terminal) -> list[str]:
    return [line.strip() for line in terminal.getvalue().split("\r")[1:]]


def test_it_counts_down_over_all_sessions_and_says_when_all_is_streamed(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = a_terminal(monkeypatch)
    clip = make_clip(3.0)
    on_event = rtkit.progress(clip, sessions=2)
    for pacing in ("fixed_sleep", "wall_clock"):
        session = rtkit.simulate(clip, pacing=pacing)
        for fact in (*session.chunks, session.ending):
            assert fact is not None
            on_event(fact)
    first, *between, last = lines(terminal)
    assert first == "0 of 6 s, about 6 s left"
    assert last == "6 s of audio streamed"
    left = [int(re.findall(r"about (\d+) s left", line)[0]) for line in between]
    assert left == sorted(left, reverse=True)
    assert len(between) <= 6 / STEP + 2  # and one when a session has ended
    assert terminal.getvalue().endswith("\n")


def test_a_line_that_is_the_last_ends(make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it says: a word in it decides nothing."""
    terminal = a_terminal(monkeypatch)
    on_event = rtkit.progress(make_clip(3.0))
    assert "\n" not in terminal.getvalue()
    on_event(Ending("stopped, with much left"))
    assert terminal.getvalue().endswith("\n")


def test_a_stopped_session_is_not_said_to_be_streamed(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = a_terminal(monkeypatch)
    rtkit.progress(make_clip(3.0))(Ending("stopped"))
    assert lines(terminal)[-1] == "stopped before all of 3 s was streamed"


def test_where_nobody_looks_nothing_is_written(
    capsys: pytest.CaptureFixture[str], make_clip: MakeClip
) -> None:
    clip = make_clip(1.0)
    on_event = rtkit.progress(clip)
    for chunk in rtkit.simulate(clip).chunks:
        on_event(chunk)
    assert capsys.readouterr() == ("", "")


def test_no_session_is_nothing_to_wait_for(make_clip: MakeClip) -> None:
    with pytest.raises(ValueError, match="sessions=0 leaves nothing to wait for"):
        rtkit.progress(make_clip(), sessions=0)
