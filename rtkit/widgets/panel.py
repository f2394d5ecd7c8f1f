"""The panel: choose a recording, a chunk duration and a pacing; run, watch, and read the figures.

The session runs as a task in the kernel's event loop. What the person sees while it runs is text
and an SVG that the browser draws; figures are drawn when nothing is being paced.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import html
import io
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.analysis.latency import senders_share, turn_latency
from rtkit.analysis.summary import summarize
from rtkit.audio import AudioError, Clip
from rtkit.experiments.calibrate import Calibration, calibrate
from rtkit.markup import asset
from rtkit.recording import StreamError, load_session
from rtkit.reference import SidecarError
from rtkit.sending.stream import stream
from rtkit.session import Session
from rtkit.views.trace import trace_svg
from rtkit.widgets.choosers import Earlier, Recording, Sending, name_of
from rtkit.widgets.live import Watched

__all__ = ["Panel", "panel"]

REFRESH = 0.25  # seconds between looks at the running session
CALIBRATING = 6.5  # seconds, about
SEEN = (
    "Lateness of each chunk, its distribution, turn latency in its parts, and a timeline; "
    "the table that follows holds the figures"
)

Job = Callable[[list[asyncio.Task[None]]], Coroutine[Any, Any, None]]

_panels: weakref.WeakSet[Panel] = weakref.WeakSet()


def panel(
    folder: str | Path | None = None, *, trace: bool = True, record: str | Path = "runs"
) -> Panel:
    """The widgets of a measuring session, for the last line of a notebook's cell.

    Parameters
    ----------
    folder : str or Path, optional
        A folder whose recordings to offer, besides those that come with rtkit.
    trace : bool
        Draw lateness while the session runs.
    record : str or Path
        The folder that sessions are saved in.

    Returns
    -------
    Panel
        ``sessions`` holds what was measured; the widgets are attributes, so that a cell can set
        them and press ``run.click()``.

    Raises
    ------
    RuntimeError
        Outside a notebook: sessions run in the notebook's event loop.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "panel() needs a notebook: its sessions run in the notebook's event loop. "
            "In a script use rtkit.run(rtkit.compare(clip))."
        ) from None
    # A cell that runs again makes a new panel; the old one must not go on sending.
    for old in list(_panels):
        old.stop_session()
    return Panel(loop, folder, trace=trace, record=Path(record))


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """Made by `rtkit.panel`.

    Attributes
    ----------
    file, folder, upload, start, seconds, chunk, presets, pacing, work, stall, stall_at,
    isolation, service, key
        What to run.
    earlier
        Sessions saved before: ``earlier.file``, ``earlier.add``, ``earlier.remove``.
    run, stop, calibrate, hear
        Buttons.
    progress, status, transcript, trace, player, table, figure, saved
        What is seen.
    task : asyncio.Task or None
        The running session, or the last one.
    sessions : dict of str to Session
        What was measured last, by pacing.
    added : dict of str to Session
        What was saved before and is shown beside it.
    calibration : Calibration or None
        What the last calibration found; sessions keep it.
    error : BaseException or None
        Why the last run did not finish.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        folder: str | Path | None,
        *,
        trace: bool,
        record: Path,
    ) -> None:
        self._loop, self._tracing, self._record = loop, trace, record
        self.task: asyncio.Task[None] | None = None
        self.sessions: dict[str, Session] = {}
        self.added: dict[str, Session] = {}
        self.error: BaseException | None = None
        self.calibration: Calibration | None = None
        self._make_results()
        self._recording = Recording(folder, say=self._say, fail=self._fail)
        self._sending = Sending()
        self.earlier = Earlier(record)
        self._make_buttons()
        super().__init__([self._choosers(), self._live(), self._results()])
        self.add_class("rt-panel")
        _panels.add(self)

    # What can be chosen.

    def _choosers(self) -> ipywidgets.Widget:
        one, other = self._recording, self._sending
        self.file, self.folder, self.upload = one.file, one.folder, one.upload
        self.start, self.seconds = one.start, one.seconds
        self.chunk, self.presets, self.pacing, self.work = (
            *(other.chunk, other.presets),
            *(other.pacing, other.work),
        )
        self.stall, self.stall_at = other.stall, other.stall_at
        self.isolation, self.service, self.key = other.isolation, other.service, other.key
        halves = [ipywidgets.VBox([self._recording, self.earlier]), self._sending]
        for half in halves:
            half.layout = ipywidgets.Layout(flex="1 1 26em", min_width="20em", overflow="visible")
        return ipywidgets.HBox(halves, layout={"flex_flow": "row wrap"})

    def _make_buttons(self) -> None:
        self.run = ipywidgets.Button(
            description="Run",
            button_style="primary",
            icon="play",
            tooltip="Stream the recording as it was chosen",
        )
        self.stop = ipywidgets.Button(
            description="Stop",
            icon="stop",
            disabled=True,
            tooltip="End the session; what was recorded is kept",
        )
        self.calibrate = ipywidgets.Button(
            description="Calibrate",
            icon="crosshairs",
            tooltip="Measure the instrument's own error on this machine; takes about 6 s",
        )
        self.hear = ipywidgets.Button(
            description="Play",
            icon="volume-up",
            tooltip="Play what is chosen, with a cursor on the lateness of its sessions",
        )
        for button, job in (
            (self.run, self._run),
            (self.calibrate, self._calibrate),
            (self.hear, self._hear),
            (self.earlier.add, self._add),
            (self.earlier.remove, self._remove),
        ):
            button.on_click(self._beginning(job))
        self.stop.on_click(lambda _: self.stop_session())
        for button, name in (
            (self.run, "rt-run"),
            (self.stop, "rt-stop"),
            (self.hear, "rt-hear"),
            (self.earlier.add, "rt-add"),
            (self.earlier.remove, "rt-remove"),
        ):
            button.add_class(name)

    def _beginning(self, job: Job) -> Callable[[object], object]:
        """In some kernels callbacks come on a thread of their own: hop to the loop, always."""
        return lambda _: self._loop.call_soon_threadsafe(self._begin, job)

    # What is seen.

    def _make_results(self) -> None:
        self.progress = ipywidgets.FloatProgress(0, min=0, max=1, layout={"flex": "1 1 12em"})
        self.status = ipywidgets.HTML()
        self.transcript = ipywidgets.HTML()
        self.trace = ipywidgets.HTML()
        self.player = ipywidgets.HTML()
        self.table = ipywidgets.HTML()
        self.figure = ipywidgets.HTML(layout={"display": "none"})
        self.saved = ipywidgets.HTML()
        for widget, name in (
            (self.progress, "rt-progress"),
            (self.status, "rt-status"),
            (self.transcript, "rt-transcript"),
            (self.trace, "rt-trace"),
            (self.player, "rt-player"),
            (self.table, "rt-table"),
            (self.figure, "rt-figure"),
            (self.saved, "rt-saved"),
        ):
            widget.add_class(name)

    def _live(self) -> ipywidgets.Widget:
        buttons = ipywidgets.HBox(
            [self.run, self.stop, self.calibrate, self.hear, self.progress],
            layout={"flex_flow": "row wrap", "align_items": "center", "margin": "8px 0 0"},
        )
        self.trace.layout = ipywidgets.Layout(flex="2 1 30em", min_width="20em", max_width="740px")
        self.transcript.layout = ipywidgets.Layout(flex="1 1 20em", min_width="16em")
        watching = ipywidgets.HBox(
            [self.trace, self.transcript], layout={"flex_flow": "row wrap", "overflow": "visible"}
        )
        return ipywidgets.VBox(
            [buttons, self.status, watching, self.player], layout={"overflow": "visible"}
        )

    def _results(self) -> ipywidgets.Widget:
        style = "<style>" + asset("widgets/panel.css") + "</style>"
        return ipywidgets.VBox(
            [
                self.figure,
                self.table,
                self.saved,
                ipywidgets.HTML(style),
            ],
            layout={"overflow": "visible"},
        )

    def _say(self, sentence: str, *, role: str = "status") -> None:
        color = "var(--jp-error-color1, #b00020)" if role == "alert" else "inherit"
        self.status.value = (
            f'<div role="{role}" style="color: {color}; line-height: 1.4; padding: 6px 0">'
            f"{html.escape(sentence)}</div>"
        )

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._say(_sentence(error), role="alert")

    # Running.

    def _begin(self, job: Job) -> None:
        if self.task is not None and not self.task.done():
            self._say("A session is running. Stop it before the next one.")
            return
        before = [old.task for old in list(_panels) if old.task is not None and not old.task.done()]
        self.task = self._loop.create_task(job(before), name="rtkit-panel")

    def stop_session(self) -> None:
        """Stop the running session, if any: it says Terminate and keeps what was recorded."""
        task = self.task
        if task is not None and not task.done():
            self._loop.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        """Stop the running session and take the panel away."""
        self.stop_session()
        self._recording.close()
        super().close()

    async def _run(self, before: list[asyncio.Task[None]]) -> None:
        """Run what was chosen; whatever goes wrong is said in the panel."""
        self._busy(True)
        self.error, self.sessions = None, {}
        self.table.value = self.saved.value = self.transcript.value = self.trace.value = ""
        self.player.value = ""
        self.figure.layout.display = "none"
        self.progress.value, self.progress.bar_style = 0, ""
        try:
            finished = await self._attempt(self._measure(before))
            self.stop.disabled = True
            drawn = await self._attempt(self._show_results())
        finally:
            self._busy(False)
        if self.error is not None:
            self.progress.bar_style = "danger"
            self._fail(self.error)
        else:
            stopped = not (finished and drawn)
            self.progress.bar_style = "warning" if stopped else "success"
            self._say(_headline(self.sessions, stopped=stopped))

    async def _calibrate(self, before: list[asyncio.Task[None]]) -> None:
        """Measure the instrument; later sessions keep what was found."""

        async def measure() -> None:
            async with self._counting_down("Calibrating", CALIBRATING):
                self.calibration = await calibrate()
            self._say(repr(self.calibration).strip("<>"))

        await self._at_rest(measure(), before)

    async def _hear(self, before: list[asyncio.Task[None]]) -> None:
        """Play what is chosen, with a cursor on those sessions that are of it."""

        async def load() -> None:
            from rtkit.views.player import play

            clip = self._recording.clip()
            shown = {name: one for name, one in self._shown().items() if _is_of(clip, one)}
            self.player.value = (await asyncio.to_thread(play, clip, shown)).html
            self.trace.value = self.transcript.value = ""  # the player has both
            self._say("")

        await self._at_rest(load(), before)

    async def _add(self, before: list[asyncio.Task[None]]) -> None:
        """Show a session that was saved before beside what was measured now."""

        async def load() -> None:
            self._say("Reading …")
            session = await asyncio.to_thread(load_session, self.earlier.file.value)
            name = name_of(session, self.added)
            self.added[name] = session
            await self._show_results()
            nothing = "" if session.chunks else " Nothing was sent in it, so that it shows nothing."
            self._say(f"Added: {_spoken(name)}, of {session.settings.recording}.{nothing}")

        await self._at_rest(load(), before)

    async def _remove(self, before: list[asyncio.Task[None]]) -> None:
        async def redraw() -> None:
            self.added = {}
            await self._show_results()
            self._say("")

        await self._at_rest(redraw(), before)

    async def _at_rest(
        self, step: Coroutine[Any, Any, None], before: list[asyncio.Task[None]]
    ) -> None:
        """Do something that is no session, while there is none."""
        self._busy(True)
        self.error = None
        try:
            await self._attempt(self._others_end(before))
            finished = await self._attempt(step)
        finally:
            self._busy(False)
        if self.error is not None:
            self._fail(self.error)
        elif not finished:
            self._say("Stopped.")

    async def _others_end(self, before: list[asyncio.Task[None]]) -> None:
        if before:
            self._say("Waiting until another panel's session has ended …")
            await asyncio.wait(before)

    @contextlib.asynccontextmanager
    async def _counting_down(self, doing: str, seconds: float) -> AsyncIterator[None]:
        """Show how much of about so many seconds is left; seldom, since it may be measured."""

        async def count() -> None:
            start = self._loop.time()
            while True:
                done = self._loop.time() - start
                self.progress.value = min(1.0, done / seconds)
                self._say(f"{doing}: about {max(1, round(seconds - done))} s left", role="timer")
                await asyncio.sleep(1)

        self.progress.bar_style = ""
        counting = asyncio.create_task(count())
        try:
            yield
        finally:
            counting.cancel()
            await asyncio.wait({counting})
            self.progress.value = 0

    def _busy(self, busy: bool) -> None:
        for button in (self.run, self.calibrate, self.hear):
            button.disabled = busy
        self.earlier.rest(not busy, added=bool(self.added))
        self.stop.disabled = not busy

    async def _attempt(self, step: Coroutine[Any, Any, None]) -> bool:
        """Whether a step ran to its end. Nobody awaits the task: its errors are kept here."""
        try:
            await step
        except asyncio.CancelledError:
            return False
        except Exception as error:
            self.error = self.error or error
            return False
        return True

    async def _measure(self, before: list[asyncio.Task[None]]) -> None:
        await self._others_end(before)
        clip = self._recording.clip()
        pacings, options = self._sending.pacings, self._sending.options()
        self._say("Connecting …")
        sent = asyncio.Event()
        watched = {pacing: Watched(clip.seconds, sent) for pacing in pacings}
        showing = asyncio.create_task(self._keep_showing(watched, clip.seconds, sent))
        now = datetime.now()
        try:
            for pacing in pacings:
                path = self._record / self._sending.file_name(clip, pacing, now)
                try:
                    self.sessions[pacing] = await stream(
                        clip,
                        pacing=pacing,
                        calibration=self.calibration,
                        **options,
                        record=path,
                        on_event=watched[pacing].see,
                    )
                except StreamError as error:
                    self.sessions[pacing] = error.session
                    raise
                except asyncio.CancelledError:
                    if path.exists():
                        self.sessions[pacing] = load_session(path)
                    raise
                finally:
                    if path.exists():
                        self._saved(path)
        finally:
            showing.cancel()
            await asyncio.wait({showing})
            self._show(watched, clip.seconds)

    async def _keep_showing(
        self, watched: Mapping[str, Watched], seconds: float, sent: asyncio.Event
    ) -> None:
        """Show between two sends: the sender waits anyway, and no chunk is late for it.

        Not right after a send, when a service with a steady delay tends to answer.
        """
        while True:
            await asyncio.sleep(REFRESH)
            sent.clear()
            await sent.wait()
            await asyncio.sleep(self.chunk.value / 1000 / 3)
            self._show(watched, seconds)

    def _show(self, watched: Mapping[str, Watched], seconds: float) -> None:
        """Text and an SVG: cheap enough not to make the sender late."""
        begun = {pacing: seen for pacing, seen in watched.items() if seen.points}
        if not begun:
            return
        pacing, seen = list(begun.items())[-1]
        done = sum(one.points[-1][0] for one in begun.values())
        whole = seconds * len(watched)
        self.progress.value = done / whole
        self._say(
            f"{_spoken(pacing)}: {done:.0f} of {whole:.0f} s, {whole - done:.0f} s left",
            role="timer",
        )
        self.transcript.value = (
            '<div style="line-height: 1.4; padding: 0 8px">' + "<br>".join(seen.lines()) + "</div>"
        )
        if self._tracing:
            self.trace.value = trace_svg(
                {name: one.line() for name, one in begun.items()}, seconds=seconds
            )

    def _saved(self, path: Path) -> None:
        before = self.saved.value or (
            '<div style="line-height: 1.4"><b>Saved</b>, for <code>rtkit.load_session</code>:</div>'
        )
        self.saved.value = (
            f'{before}<div style="line-height: 1.4"><code>{html.escape(str(path))}</code></div>'
        )

    def _shown(self) -> dict[str, Session]:
        """What there is to see: measured now, and added."""
        return {name: one for name, one in (self.sessions | self.added).items() if one.chunks}

    async def _show_results(self) -> None:
        sessions = self._shown()
        if not sessions:
            self.table.value, self.figure.layout.display = "", "none"
            return
        self._say("Drawing …")
        table = summarize(sessions)._repr_html_()
        self.table.value = f'<div style="line-height: 1.2">{table}</div>'
        content = base64.b64encode(await asyncio.to_thread(_draw, sessions)).decode()
        self.figure.value = f'<img alt="{SEEN}" src="data:image/png;base64,{content}">'
        self.figure.layout.display = "block"


def _is_of(clip: Clip, session: Session) -> bool:
    """Whether something of the clip was streamed in the session."""
    settings = session.settings
    return (
        (settings.recording, settings.rate) == (clip.path.name, clip.rate)
        and settings.first < clip.first + clip.samples
        and clip.first < settings.first + settings.samples
    )


def _sentence(error: BaseException) -> str:
    """What is said of an error; one that nobody foresaw is named by its type."""
    foreseen = isinstance(
        error, StreamError | AudioError | SidecarError | ValueError | OSError | ImportError
    )
    return str(error) if foreseen else f"{type(error).__name__}: {error}"


def _headline(sessions: Mapping[str, Session], *, stopped: bool) -> str:
    """How late each session ended, and how much of the measured latency was the sender's own."""
    sent = {name: session for name, session in sessions.items() if session.chunks}
    if not sent:
        return "Stopped before anything was sent."
    ends = ", ".join(f"{_spoken(name)} ended {_late(one)}" for name, one in sent.items())
    said = f"{'Stopped; what was recorded is kept:' if stopped else 'Done:'} {ends}"
    shares = {name: senders_share(turn_latency(session)) for name, session in sent.items()}
    measured = {name: share for name, share in shares.items() if share >= 0}  # or it is nan
    if measured and "unpaced" not in sent:
        name = max(measured, key=measured.__getitem__)
        said += f"; of {_spoken(name)}'s turn latency the sender made {measured[name]:.0%} itself"
    return f"{said}."


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _late(session: Session) -> str:
    late = session.lateness[-1] * 1000
    return f"{abs(late):.{0 if abs(late) >= 10 else 1}f} ms {'late' if late >= 0 else 'early'}"


def _draw(sessions: Mapping[str, Session]) -> bytes:
    from rtkit.views.plots import plot_comparison

    file = io.BytesIO()
    plot_comparison(sessions).savefig(file, format="png", dpi=110)
    return file.getvalue()
