"""The panel: choose a recording, a chunk duration and a pacing; run, watch, and read the figures.

The session runs as a task in the kernel's event loop. What the person sees while it runs is text
and numbers that the browser draws; figures are drawn when nothing is being paced.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Coroutine
from datetime import datetime
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit.analysis.naming import said
from rtkit.audio import AudioError, Clip
from rtkit.experiments.calibrate import Calibration, calibrate
from rtkit.recording import StreamError, load_session
from rtkit.reference import SidecarError
from rtkit.sending.stream import stream
from rtkit.session import Session
from rtkit.views.interactive import play, timeline
from rtkit.widgets.live import Watched
from rtkit.widgets.live_box import LiveBox
from rtkit.widgets.recording_box import RecordingBox
from rtkit.widgets.results_box import ResultsBox, headline
from rtkit.widgets.saved_box import SavedBox, name_of
from rtkit.widgets.sending_box import SendingBox

__all__ = ["Panel", "panel"]

CALIBRATING = 8.5  # seconds, about

Job = Callable[[], Coroutine[Any, Any, None]]

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
    progress, status, transcript, timeline, table, figure, saved
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
        self._loop, self._record = loop, record
        self.task: asyncio.Task[None] | None = None
        self.sessions: dict[str, Session] = {}
        self.added: dict[str, Session] = {}
        self.error: BaseException | None = None
        self.calibration: Calibration | None = None
        self.earlier = SavedBox(record)
        self._live = LiveBox(trace=trace)
        self._recording = RecordingBox(folder, say=self._live.say, fail=self._fail)
        self._sending = SendingBox()
        self._results = ResultsBox()
        self._name_widgets()
        for button, job in (
            (self.run, self._run),
            (self.calibrate, self._calibrate),
            (self.hear, self._hear),
            (self.earlier.add, self._add),
            (self.earlier.remove, self._remove),
        ):
            button.on_click(self._beginning(job))
        self.stop.on_click(lambda _: self.stop_session())
        halves = [ipywidgets.VBox([self._recording, self.earlier]), self._sending]
        for half in halves:
            half.layout = ipywidgets.Layout(flex="1 1 26em", min_width="20em", overflow="visible")
        choosers = ipywidgets.HBox(halves, layout={"flex_flow": "row wrap"})
        super().__init__([choosers, self._live, self._results])
        self.add_class("rt-panel")
        _panels.add(self)

    def _name_widgets(self) -> None:
        one, other, live, results = self._recording, self._sending, self._live, self._results
        self.file, self.folder, self.upload = one.file, one.folder, one.upload
        self.start, self.seconds = one.start, one.seconds
        self.chunk, self.presets, self.pacing = other.chunk, other.presets, other.pacing
        self.work, self.stall, self.stall_at = other.work, other.stall, other.stall_at
        self.isolation, self.service, self.key = other.isolation, other.service, other.key
        self.run, self.stop, self.calibrate, self.hear = (
            live.run,
            live.stop,
            live.calibrate,
            live.hear,
        )
        self.progress, self.status = live.progress, live.status
        self.transcript, self.timeline = live.transcript, live.timeline
        self.table, self.figure, self.saved = results.table, results.figure, results.saved

    def _beginning(self, job: Job) -> Callable[[object], object]:
        """In some kernels callbacks come on a thread of their own: hop to the loop, always."""
        return lambda _: self._loop.call_soon_threadsafe(self._begin, job)

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._live.say(self._recording.without_folder(_sentence(error)), role="alert")

    # One job after the other, of all panels.

    def _begin(self, job: Job) -> None:
        if self.task is not None and not self.task.done():
            self._live.say("A session is running. Stop it before the next one.")
            return
        before = [old.task for old in list(_panels) if old.task is not None and not old.task.done()]
        self.task = self._loop.create_task(self._do(job, before), name="rtkit-panel")

    def stop_session(self) -> None:
        """Stop the running session, if any: it ends cleanly and keeps what was recorded."""
        task = self.task
        if task is not None and not task.done():
            self._loop.call_soon_threadsafe(task.cancel)

    def close(self) -> None:
        """Stop the running session and take the panel away."""
        self.stop_session()
        self._recording.close()
        super().close()

    async def _do(self, job: Job, before: list[asyncio.Task[None]]) -> None:
        """Do a job once others have ended; whatever goes wrong is said in the panel."""
        self._busy(True)
        self.error = None
        try:
            ended = await self._attempt(self._others_end(before)) and await self._attempt(job())
        finally:
            self._busy(False)
        if self.error is not None:
            self._fail(self.error)
        elif not ended:
            self._live.say("Stopped.")

    async def _others_end(self, before: list[asyncio.Task[None]]) -> None:
        if before:
            self._live.say("Waiting until another panel's session has ended …")
            await asyncio.wait(before)

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

    # The jobs.

    async def _run(self) -> None:
        """Run what was chosen, and show what was measured, however far it came."""
        self.sessions = {}
        self._live.clear()
        self._results.clear()
        measured = await self._attempt(self._measure())
        self.stop.disabled = True
        shown = await self._attempt(self._show_results())
        if self.error is not None:
            self.progress.bar_style = "danger"
            return
        self.progress.bar_style = "success" if measured and shown else "warning"
        self._live.say(headline(self.sessions, stopped=not (measured and shown)))

    async def _calibrate(self) -> None:
        """Measure the instrument; later sessions keep what was found."""
        async with self._live.counting_down("Calibrating", CALIBRATING):
            self.calibration = await calibrate()
        self._live.say(repr(self.calibration).strip("<>"))

    async def _hear(self) -> None:
        """Play what is chosen, with a cursor on those sessions that are of it."""
        clip = self._recording.clip()
        shown = {name: one for name, one in self._shown().items() if _is_of(clip, one)}
        self.timeline.data = (await asyncio.to_thread(play, clip, shown)).data
        self._live.say("")

    async def _add(self) -> None:
        """Show a session that was saved before beside what was measured now."""
        self._live.say("Reading …")
        session = await asyncio.to_thread(load_session, self.earlier.file.value)
        name = name_of(session, self.added)
        self.added[name] = session
        await self._show_results()
        nothing = "" if session.chunks else " Nothing was sent in it, so that it shows nothing."
        self._live.say(f"Added: {said(name)}, of {session.settings.recording}.{nothing}")

    async def _remove(self) -> None:
        self.added = {}
        await self._show_results()
        self._live.say("")

    async def _measure(self) -> None:
        clip = self._recording.clip()
        pacings, options = self._sending.pacings, self._sending.options()
        self._live.say("Connecting …")
        sent = asyncio.Event()
        watched = {pacing: Watched(clip.seconds, sent) for pacing in pacings}
        now = datetime.now()
        async with self._live.watching(
            watched, seconds=clip.seconds, chunk=options["chunk"], sent=sent
        ):
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
                        self._results.add_file(path)

    def _shown(self) -> dict[str, Session]:
        """What there is to see: measured now, and added."""
        return {name: one for name, one in (self.sessions | self.added).items() if one.chunks}

    async def _show_results(self) -> None:
        sessions = self._shown()
        if sessions:
            self._live.say("Drawing …")
        await self._results.show(sessions)
        if sessions:
            self.timeline.data = (await asyncio.to_thread(timeline, sessions)).data
            self.transcript.value = ""  # the timeline has it


def _is_of(clip: Clip, session: Session) -> bool:
    """Whether something of the clip was streamed in the session."""
    settings = session.settings
    return (
        (settings.recording, settings.rate) == (clip.name, clip.rate)
        and settings.first < clip.first + clip.samples
        and clip.first < settings.first + settings.samples
    )


def _sentence(error: BaseException) -> str:
    """What is said of an error; one that nobody foresaw is named by its type."""
    foreseen = isinstance(
        error, StreamError | AudioError | SidecarError | ValueError | OSError | ImportError
    )
    return str(error) if foreseen else f"{type(error).__name__}: {error}"
