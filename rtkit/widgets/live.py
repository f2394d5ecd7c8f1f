"""The display of a running session, kept small: a line of lateness, and the last turns."""

from __future__ import annotations

import asyncio
import html
from operator import itemgetter

from rtkit.services.messages import Reply, Turn
from rtkit.session import Chunk, Fact, Message

__all__ = ["Watched"]

COLUMNS = 250  # of the line, two chunks each: about what a screen can show
LETTERS = 400  # of a turn


class Watched:
    """What a running session has shown so far, of bounded size however long it runs."""

    def __init__(
        self, seconds: float, sent: asyncio.Event, *, pacing: str = "wall_clock", chunk: float = 0.1
    ) -> None:
        self.pacing, self.chunk = pacing, chunk
        self._sent = sent
        self._column = seconds / COLUMNS
        self._older: list[tuple[float, float]] = []
        self.points: list[tuple[float, float]] = []  # audio and lateness, of the newest column
        self._unread: list[Reply] = []
        self._turns: dict[int, tuple[str, bool]] = {}

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Chunk):
            if self.points and fact.due // self._column > self.points[0][0] // self._column:
                self._older += _extremes(self.points)
                self.points = []
            self.points.append((fact.due, fact.sent - fact.due))
            self._sent.set()
        elif isinstance(fact, Message):
            self._unread += fact.replies or ()

    def line(self) -> tuple[list[float], list[float]]:
        """Audio and lateness: of each column the lowest and highest chunk, the newest ones all."""
        points = [*self._older, *self.points]
        return [audio for audio, _ in points], [lateness for _, lateness in points]

    def lines(self, shown: int = 8) -> list[str]:
        """The last turns as HTML, numbered as the figures number them, partial ones in italics."""
        unread, self._unread = self._unread, []
        for reply in unread:
            if isinstance(reply, Turn) and reply.words:
                text = _end_of(" ".join(word.text for word in reply.words))
                self._turns[reply.order] = (text, reply.end_of_turn)
        return [
            f'<li value="{number}">'
            + (html.escape(text) if final else f"<i>{html.escape(text)} …</i>")
            + "</li>"
            for number, (text, final) in list(enumerate(self._turns.values(), start=1))[-shown:]
        ]


def _end_of(text: str) -> str:
    """As much of the end as does not push the page about: a turn may go on for minutes."""
    return text if len(text) <= LETTERS else f"… {text[-LETTERS:].partition(' ')[2]}"


def _extremes(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of least and greatest lateness, in order of time."""
    return sorted({min(points, key=itemgetter(1)), max(points, key=itemgetter(1))})
