"""Work in a thread that nobody has to wait for."""

from __future__ import annotations

import threading

import pytest

from rtkit.clock.thread import in_thread


@pytest.mark.parametrize("fails", [False, True])
def test_what_comes_when_nobody_waits_any_more_is_no_error(
    monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """As with a resolver that answers after the session was given up."""
    errors: list[object] = []
    monkeypatch.setattr(threading, "excepthook", errors.append)
    go_on = threading.Event()

    def work() -> None:
        go_on.wait()
        if fails:
            raise ValueError

    outcome = in_thread("rtkit-late", work)
    (thread,) = (one for one in threading.enumerate() if one.name == "rtkit-late")
    outcome.cancel()
    go_on.set()
    thread.join()
    assert not errors
