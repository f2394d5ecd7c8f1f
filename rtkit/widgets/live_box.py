"""The live display of a session: its progress, its lateness, and its transcript.

It is text, and numbers that the browser draws, which is cheap enough not to delay the sender.
"""

from __future__ import annotations

import asyncio
import contextlib
import html
from collections.abc import AsyncIterator, Mapping, Sequence

import ipywidgets

from rtkit.analysis.naming import said
from rtkit.experiments.calibrate import AT_LEAST
from rtkit.views.interactive import live
from rtkit.widgets.fields import button, in_a_row
from rtkit.widgets.live import Watched
from rtkit.widgets.timeline import TimelineWidget

__all__ = ["LiveBox"]

REFRESH = 0.25  # seconds between looks at the running session
SHOWN = 4  # sessions in the trace
CALIBRATE = f"Measure the instrument's own error on this machine; takes {AT_LEAST:.0f} s or more"
WATCH = "Measure your own client: it connects here, and from here to the service"
HEAR = "Play what is chosen, with a cursor on the lateness of its sessions"


class LiveBox:
    """A sentence, the timeline, the transcript; `row` has the buttons and the progress."""

    def __init__(self, *, trace: bool) -> None:
        self._tracing = trace
        self.run, self.stop, self.calibrate, self.watch, self.hear = (
            button(name.split()[0].lower(), name, icon, tooltip, layout={})
            for name, icon, tooltip in (
                ("Run", "play", "Stream the recording as it was chosen"),
                ("Stop", "stop", "End the session; what was recorded is kept"),
                ("Calibrate", "crosshairs", CALIBRATE),
                ("Watch a client", "eye", WATCH),
                ("Play", "volume-up", HEAR),
            )
        )
        self.run.button_style, self.stop.disabled = "primary", True
        self.hear.add_class("rt-hear")
        self.progress = ipywidgets.FloatProgress(
            0, min=0, max=1, layout={"flex": "1 1 12em", "visibility": "hidden"}
        )
        self.status = ipywidgets.HTML()
        self.timeline = TimelineWidget()
        self.transcript = ipywidgets.HTML()
        for name in ("progress", "status", "transcript"):
            getattr(self, name).add_class(f"rt-{name}")
        self.row = in_a_row(self.run, self.stop, self.hear, self.progress)
        self.row.layout.margin = "8px 0 0"

    def clear(self) -> None:
        self.timeline.data, self.transcript.value = {}, ""
        self.progress.value, self.progress.bar_style = 0, ""

    def connecting(self, name: str, to: str) -> None:
        """A session begins: from here on until its first chunk left, the bar says so."""
        self.progress.layout.visibility = "visible"
        self.progress.bar_style = ""
        self.progress.add_class("rt-waiting")
        self.say(f"{said(name)}: connecting to {to} …")

    def ended(self, style: str) -> None:
        self.progress.remove_class("rt-waiting")
        self.progress.bar_style = style

    def say(self, sentence: str, *, role: str = "status") -> None:
        look = "rt-alert" if role == "alert" else "rt-said"
        self.status.value = f'<div role="{role}" class="{look}">{html.escape(sentence)}</div>'

    def listening(self, url: str, news: str) -> None:
        """Say where clients connect, and who came or went last."""
        self.status.value = (
            '<div role="status" class="rt-said">Listening. Connect your client to '
            f'<code class="rt-address">{html.escape(url)}</code> in place of the service, with the '
            f"same path, parameters and key. Stop ends it.<br>{html.escape(news)}</div>"
        )

    @contextlib.asynccontextmanager
    async def watching(
        self, rounds: Sequence[Mapping[str, Watched]], *, seconds: float, sent: asyncio.Event
    ) -> AsyncIterator[None]:
        """Show sessions while they run, by name: those of a round at the same time.

        `seconds` is what each of them streams.

        It is shown between two sends: the sender waits anyway, and no chunk is late for it. Not
        right after a send, when a service with a steady delay tends to answer.
        """

        least = min(one.chunk for together in rounds for one in together.values())

        async def keep_showing() -> None:
            while True:
                await asyncio.sleep(REFRESH)
                sent.clear()
                await sent.wait()
                await asyncio.sleep(least / 3)
                self._show(rounds, seconds)

        showing = asyncio.create_task(keep_showing())
        try:
            yield
        finally:
            showing.cancel()
            await asyncio.wait({showing})
            self._show(rounds, seconds)

    @contextlib.asynccontextmanager
    async def counting(self, doing: str, *, least: float) -> AsyncIterator[None]:
        """Show how much of at least so many seconds is over; rarely, since this may be measured."""

        async def count() -> None:
            loop = asyncio.get_running_loop()
            start = loop.time()
            while True:
                done = loop.time() - start
                self.progress.value = min(1.0, done / least)
                left = max(0, int(least - done))
                self.say(f"{doing}: over {left} s left", role="timer")
                await asyncio.sleep(1)

        self.progress.layout.visibility, self.progress.bar_style = "visible", ""
        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait({counting})
            self.progress.value = 0

    def _show(self, rounds: Sequence[Mapping[str, Watched]], seconds: float) -> None:
        begun = [{name: one for name, one in each.items() if one.points} for each in rounds]
        begun = [each for each in begun if each]
        if not begun:
            return
        last = begun[-1]
        least = min(one.points[-1][0] for one in last.values())
        done, whole = seconds * (len(begun) - 1) + least, seconds * len(rounds)
        self.progress.remove_class("rt-waiting")
        self.progress.value = done / whole
        left = f"{done:.0f} of {whole:.0f} s, {whole - done:.0f} s left"
        if least > seconds - 1e-6:
            left += "; all is sent, waiting for the last results"
        self.say(f"{', '.join(map(said, last))}: {left}", role="timer")
        self.draw(last, dict(pair for each in begun for pair in each.items()), seconds=seconds)

    def draw(
        self, last: Mapping[str, Watched], begun: Mapping[str, Watched], *, seconds: float = 0.0
    ) -> None:
        """Show the transcripts of current sessions, and the lateness of those that have begun."""
        turns = 8 if len(last) == 1 else 3  # of each
        self.transcript.value = "".join(
            f"<b>{html.escape(said(name))}</b>" * (len(last) > 1)
            + f'<ol class="rt-turns">{"".join(one.lines(turns))}</ol>'
            for name, one in last.items()
        )
        if self._tracing:
            traced = dict([*begun.items()][-SHOWN:])
            self.timeline.data = live(
                {name: one.line() for name, one in traced.items()},
                seconds=seconds,
                pacings=[one.pacing for one in traced.values()],
            )
