"""Progress of a session that a cell or a script is waiting for."""

from __future__ import annotations

import html
import sys
from collections.abc import Callable
from typing import Any

from rtkit.audio import Clip, check_clip
from rtkit.boundary.values import check_numbers
from rtkit.session import Chunk, Ending, Fact

__all__ = ["progress"]

STEP = 0.5  # seconds of audio between two looks: seldom enough not to make a sender late

Show = Callable[[float, str, bool], object]  # a share, a sentence, and whether it is the last


def progress(clip: Clip, *, sessions: int = 1) -> Callable[[Fact], None]:
    """Show below the cell how much has been streamed and how much time is left.

    In a terminal, it is a line on standard error; otherwise nothing is shown. It is updated right
    after a chunk is sent, at most twice per second. In a notebook, an update takes about 0.8 ms:
    wall-clock pacing makes up for that, a naive sender does not.

    Parameters
    ----------
    clip : Clip
        The clip that is streamed.
    sessions : int
        How many times it is streamed, one after another: with `rtkit.compare`, once per pacing.

    Returns
    -------
    callable
        For `on_event`: ``rtkit.compare(clip, on_event=rtkit.progress(clip, sessions=2))``.

    Raises
    ------
    ValueError
        If `sessions` is less than 1.
    """
    check_clip(clip)
    check_numbers(unit="sessions", sessions=sessions)
    if sessions < 1:
        raise ValueError(f"sessions={sessions} leaves nothing to wait for; give 1 or more")
    return _Progress(clip, sessions, _cell() or _terminal())


class _Progress:
    def __init__(self, clip: Clip, sessions: int, show: Show) -> None:
        self._rate, self._seconds, self._sessions = clip.rate, clip.seconds, sessions
        self._ended, self._next = 0, STEP
        self._show = show
        self._say(0.0)

    def __call__(self, fact: Fact) -> None:
        if isinstance(fact, Ending):
            self._ended, self._next = self._ended + 1, STEP
            self._say(0.0, how=fact.how)
        elif isinstance(fact, Chunk) and fact.stop / self._rate >= self._next:
            self._next = fact.stop / self._rate + STEP
            self._say(fact.stop / self._rate)

    def _say(self, audio: float, *, how: str = "complete") -> None:
        whole = self._sessions * self._seconds
        done = min(self._ended * self._seconds + audio, whole)
        if how != "complete":
            said = f"{how} before all of {whole:.0f} s was streamed"
        elif self._ended < self._sessions:
            said = f"{done:.0f} of {whole:.0f} s, about {whole - done:.0f} s left"
        else:
            said = f"{whole:.0f} s of audio streamed"
        self._show(done / whole, said, how != "complete" or self._ended == self._sessions)


def _cell() -> Show | None:
    """Below the running cell of a notebook, if there is one."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if getattr(shell, "kernel", None) is None:
        return None
    from IPython.display import display

    handle = display(_in_a_cell(0.0, ""), raw=True, display_id=True)
    return lambda share, said, last: handle.update(_in_a_cell(share, said), raw=True)


def _in_a_cell(share: float, said: str) -> dict[str, Any]:
    bar = f'<progress value="{share:.3f}" aria-label="streamed" style="width: 16em"></progress>'
    return {"text/plain": said, "text/html": f"<div>{bar} {html.escape(said)}</div>"}


def _terminal() -> Show:
    if not sys.stderr.isatty():
        return lambda share, said, last: None
    return lambda share, said, last: print(
        f"\r{said:<60}", end="\n" if last else "", file=sys.stderr, flush=True
    )
