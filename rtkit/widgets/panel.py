"""The panel: choose a recording, a chunk duration and a pacing; run, watch, and read the results.

The session runs as a task in the kernel's event loop. While it runs, only text and numbers that the
browser draws are shown; figures are drawn when nothing is being paced.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import weakref
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import ipywidgets
from IPython.display import display

from rtkit.analysis.naming import told_apart
from rtkit.audio import Clip
from rtkit.boundary.text import counted
from rtkit.experiments.calibrate import AT_LEAST, Calibration, calibrate
from rtkit.recording import load_session
from rtkit.session import Session
from rtkit.views.interactive import is_of, play, timeline
from rtkit.views.sound import MOST
from rtkit.widgets.beforehand import Beforehand
from rtkit.widgets.browser import Browser
from rtkit.widgets.choices import Choices, Memory
from rtkit.widgets.clients import watch_clients
from rtkit.widgets.downloads import download
from rtkit.widgets.fields import FieldError, disclosure, grid, in_a_row
from rtkit.widgets.live_box import LiveBox
from rtkit.widgets.measuring import in_rounds, measure
from rtkit.widgets.notebook import Kept, end_kernel, interrupts
from rtkit.widgets.recording_box import RecordingBox
from rtkit.widgets.results_box import ResultsBox, headline
from rtkit.widgets.saved_box import SavedBox
from rtkit.widgets.sending_box import SendingBox
from rtkit.widgets.wording import in_panel_words, sentence_of

__all__ = ["Panel", "panel"]

FIRST = ("file", "chunk", "pacing")
MORE = (
    *("folder", "start", "seconds", "channel", "service", "also", "isolation"),
    *("work", "stall", "stall_at", "repeats", "sweep"),
)
NUMBERS = ("start", "seconds", "work", "stall", "stall_at", "repeats")  # of them

Job = Callable[[], Coroutine[Any, Any, None]]

_panels: weakref.WeakSet[Panel] = weakref.WeakSet()


def panel(
    folder: str | Path | None = None, *, trace: bool = True, record: str | Path = "runs"
) -> Panel:
    """Create the interactive panel; make it the last line of a notebook cell.

    If the cell runs again (after the page was reloaded, for example) while a session is running, it
    shows that session. Interrupting the kernel stops the session.

    Parameters
    ----------
    folder : str or Path, optional
        A folder whose recordings to offer, besides those included in rtkit.
    trace : bool
        Draw lateness while the session runs.
    record : str or Path
        The folder where sessions are saved.

    Returns
    -------
    Panel
        ``sessions`` holds the measured sessions. The widgets are attributes, so a cell can set them
        and call ``run.click()``.

    Raises
    ------
    RuntimeError
        Outside a notebook, because sessions run in the notebook's event loop.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "panel() needs a notebook: its sessions run in the notebook's event loop. "
            "In a script use rtkit.run(rtkit.compare(clip))."
        ) from None
    # A cell that runs again finds its session; another cell's panel must not go on sending.
    for old in list(_panels):
        if old.runs(loop, Path(record)):
            return old
        old.stop_session()
    return Panel(loop, folder, trace=trace, record=Path(record))


class Panel(ipywidgets.VBox):  # type: ignore[misc]
    """The panel, from `rtkit.panel`.

    Attributes
    ----------
    file, chunk, presets, pacing
        The main choices.
    more : Checkbox
        Shows or hides the others: folder, upload, start, seconds, channel, service, key,
        also, other_keys, isolation, work, stall, stall_at, repeats, sweep.
    chosen, unusual
        What is about to be streamed, and which settings differ from the defaults.
    earlier
        Saved sessions: the list ``earlier.file``, and its buttons.
    run, stop, calibrate, watch, hear, last
        Buttons.
    progress, status, transcript, timeline, table, figure, saved
        The displays.
    task : asyncio.Task or None
        The task of the current or last session.
    sessions : dict of str to Session
        The sessions measured last, by pacing, or by service if there are several. With several
        chunk durations or repeats, the names include them.
    added : dict of str to Session
        Saved sessions that are shown beside them, by file name.
    calibration : Calibration or None
        The result of the last calibration, which is saved with sessions.
    error : BaseException or None
        Why the last run failed, if it did.
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
        self._given: set[str] = set()  # names of those that a person gave
        self._clip: Clip | None = None  # of the last run, to be heard, unless it is too long
        self.error: BaseException | None = None
        self.calibration: Calibration | None = None
        self._live = LiveBox(trace=trace)
        self.earlier = SavedBox(record, loop, say=self._live.say)
        self._recording = RecordingBox(folder, say=self._live.say, fail=self._fail)
        self._sending = SendingBox()
        self._results = ResultsBox()
        self._browser = Browser(loop, left=self._leave)
        self._kept = Kept()
        self._name_widgets()
        self._choices = Choices({name: getattr(self, name) for name in ("folder", *FIRST, *MORE)})
        self._beforehand = Beforehand(
            loop, self._choices, MORE, clip=self._recording.clip, sending=self._sending
        )
        self.chosen, self.unusual = self._beforehand.chosen, self._beforehand.unusual
        self._memory = Memory(record)
        remembered = self._memory.choices()
        self._choices.set(remembered if not folder else {**remembered, "folder": str(folder)})
        jobs: list[tuple[ipywidgets.Button, Job]] = [
            (self.run, self._run),
            (self.calibrate, self._calibrate),
            (self.watch, self._watch),
            (self.hear, self._hear),
            (self.earlier.add, self._add),
            (self.last, self._bring_back),
            (self.earlier.remove, self._remove),
        ]
        for kind, button in self._results.downloads.items():
            jobs.append((button, functools.partial(self._download, kind)))
        for button, job in jobs:
            button.on_click(self._beginning(job))
        self.timeline_of.observe(
            lambda _: loop.call_soon_threadsafe(self._timeline_chosen), "value"
        )
        self.stop.on_click(lambda _: self.stop_session())
        super().__init__(self._laid_out(), layout={"overflow": "visible"})
        self.add_class("rt-panel")
        self._beforehand.look()
        _panels.add(self)

    def _name_widgets(self) -> None:
        for box, names in (
            (self._recording, "file folder upload start seconds channel"),
            (self._sending, "chunk presets pacing work stall stall_at isolation repeats sweep"),
            (self._sending.listeners, "service key also other_keys"),
            (self._live, "run stop calibrate watch hear progress status transcript timeline"),
            (self._results, "verdicts last timeline_of table figure saved"),
        ):
            for name in names.split():
                setattr(self, name, getattr(box, name))

    def _laid_out(self) -> list[ipywidgets.Widget]:
        """The three choices and Run first; all others behind a box to tick."""
        buttons = in_a_row(self.calibrate, self.watch)
        others = ipywidgets.VBox(
            [grid(*self._recording.more, *self._sending.more, least="16em"), buttons],
            layout={"overflow": "visible"},
        )
        others.add_class("rt-others")
        self.more = disclosure("More", others, tooltip="All other choices")
        self.more.add_class("rt-more")
        self.last.layout.display = "flex" if self._memory.last() else "none"
        return [
            grid(self.file, self.chunk, self.pacing, least="17em"),
            self._live.row,
            self.chosen,
            in_a_row(self.more, self.unusual),
            others,
            self.status,
            self.verdicts,
            self.last,
            self.timeline_of,
            self.timeline,
            self.transcript,
            self._results,
            self.earlier,
            self._browser,
        ]

    def _ipython_display_(self) -> None:
        """Show the panel, and below it what a saved notebook keeps of it."""
        # Where no widget can be shown, ipywidgets would print its children instead.
        display({**self._repr_mimebundle_(), "text/html": ""}, raw=True)
        self._kept.show()

    def _beginning(self, job: Job) -> Callable[[object], object]:
        """In some kernels callbacks come on a thread of their own: hop to the loop, always."""
        return lambda _: self._loop.call_soon_threadsafe(self._begin, job)

    def _fail(self, error: BaseException) -> None:
        self.error = error
        sentence = in_panel_words(self._recording.without_folder(sentence_of(error)))
        self._live.say(sentence, role="alert")

    # One job after the other, of all panels.

    def _begin(self, job: Job) -> None:
        if self.task is not None and not self.task.done():
            self._live.say("A session is running. Stop it before the next one.")
            return
        before = [old.task for old in list(_panels) if old.task is not None and not old.task.done()]
        self.task = self._loop.create_task(self._do(job, before), name="rtkit-panel")

    def runs(self, loop: asyncio.AbstractEventLoop, record: Path) -> bool:
        """Whether a session that is saved there is running, in this loop."""
        busy = self.task is not None and not self.task.done()
        return busy and loop is self._loop and record.resolve() == self._record.resolve()

    def stop_session(self) -> None:
        """Stop the running session, if any: it ends properly, and what was recorded is kept."""
        task = self.task
        if task is not None and not task.done():
            self._loop.call_soon_threadsafe(task.cancel)

    def _leave(self) -> None:
        """The page is gone for good: end the session, then its kernel."""
        self.stop_session()
        if self.task is None or self.task.done():
            end_kernel()
        else:
            self.task.add_done_callback(lambda _: end_kernel())

    def close(self) -> None:
        """Stop the running session and remove the panel."""
        self.stop_session()
        self._recording.close()
        self._browser.close()
        super().close()

    async def _do(self, job: Job, before: list[asyncio.Task[None]]) -> None:
        """Do a job once others have ended; whatever goes wrong is said in the panel."""
        self._busy(True)
        self.error = None
        try:
            with interrupts(self.stop_session):
                ended = await self._attempt(self._others_end(before)) and await self._attempt(job())
        finally:
            self._busy(False)
            self._beforehand.resume()
        if self.error is not None:
            self._fail(self.error)
        elif not ended:
            self._live.say("Stopped.")

    async def _others_end(self, before: list[asyncio.Task[None]]) -> None:
        if before:
            self._live.say("Waiting until another panel's session has ended …")
            await asyncio.wait(before)

    def _busy(self, busy: bool) -> None:
        buttons = (self.run, self.calibrate, self.watch, self.hear, self.last)
        for button in (*buttons, *self._results.downloads.values()):
            button.disabled = busy
        self.earlier.rest(not busy, added=bool(self.added))
        self.stop.disabled = not busy

    async def _attempt(self, step: Coroutine[Any, Any, None]) -> bool:
        """Whether a step completed; its errors are kept here, because nothing awaits the task."""
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
        """Run what was chosen, and show how far it came; if nothing was sent, the last result."""
        try:
            for name in ("chunk", *NUMBERS):  # Run waits for each, needed or not
                getattr(self, name).number()
            clip, planned = self._recording.clip(), self._sending.planned()
            options = self._sending.options(self.calibration)
        except FieldError:
            self.more.value |= any(getattr(self, name).note.value for name in NUMBERS)
            raise
        self._clip = clip if clip.samples <= MOST else None
        listeners = self._sending.listeners
        spacing = listeners.spacing(len(in_rounds(planned)))
        how = functools.partial(measure, whom=listeners.whom, spacing=spacing)
        await self._measure(functools.partial(how, clip, planned, options), self._record)

    async def _watch(self) -> None:
        """Stand between a client and the chosen service, until Stop."""
        upstream = self._sending.listeners.upstream(self._recording.whole())
        watching = functools.partial(watch_clients, upstream, show=self._show_results)
        await self._measure(watching, self._record / "tap")

    async def _measure(
        self, sessions_of: Callable[..., Coroutine[Any, Any, None]], folder: Path
    ) -> None:
        """Keep and show what is measured, also of what fails or is stopped."""
        self._live.clear()
        measured: dict[str, Session] = {}
        files: list[Path] = []

        def keep(name: str, session: Session, path: Path) -> None:
            if not measured:
                self._results.clear()
                self.sessions = measured
            measured[name] = session
            files.append(path)
            self._results.add_file(path)

        async def measuring() -> None:
            await self.earlier.halt()  # what reads files would make the sender late
            await self._beforehand.halt()
            await sessions_of(folder=folder, live=self._live, keep=keep)

        done = await self._attempt(measuring())
        self.stop.disabled = True
        self._live.ended("")
        with contextlib.suppress(OSError):  # what cannot be kept is said of the sessions
            self._memory.keep(self._choices.now(), files if done and files else None)
        if measured:
            done &= await self._attempt(self._show_results())
        if self.error is not None:
            self._live.ended("danger")
            return
        self._live.ended("success" if done else "warning")
        self._live.say(headline(measured, stopped=not done))

    async def _calibrate(self) -> None:
        """Measure the instrument; later sessions keep what was found."""
        async with self._live.counting("Calibrating", least=AT_LEAST):
            self.calibration = await calibrate()
        self._live.say(repr(self.calibration))

    async def _hear(self) -> None:
        """Play what is chosen, with a cursor on those sessions that are of it."""
        clip = self._recording.clip()
        shown = {name: one for name, one in self._shown().items() if is_of(clip, one)}
        self.timeline.data = (await asyncio.to_thread(play, clip, shown)).data
        self._live.say("")

    async def _add(self) -> None:
        """Show sessions that were saved before beside what was measured now."""
        self._live.say("Reading …")
        chosen = self.earlier.chosen
        for one in chosen:
            session = await asyncio.to_thread(load_session, one.path)
            self.added[one.name or one.path.stem] = session
            self._given.update({one.name} if one.name else ())
        await self._show_results()
        self._live.say(f"Shown beside: {counted(len(chosen), 'saved session')}.")

    async def _bring_back(self) -> None:
        """Show the last run that went well, before the notebook was opened again, say."""
        self._live.say("Reading …")
        found = [await asyncio.to_thread(load_session, path) for path in self._memory.last()]
        self.sessions = dict(zip(told_apart(found), found, strict=True))
        await self._show_results()
        self._live.say(headline(self.sessions, stopped=False))

    async def _remove(self) -> None:
        self.added = {}
        await self._show_results()
        self._live.say("")

    async def _download(self, kind: str) -> None:
        self._live.say(f"Preparing {kind.lower()} …")
        name, content, media = await asyncio.to_thread(download, kind, self._shown())
        self._browser.download(name, content, type=media)
        self._live.say(f"Your browser saves {name}.")

    def _shown(self) -> dict[str, Session]:
        """All sessions to show, measured now or added, under distinct names."""
        if not self.added:
            return self.sessions
        both = [*self.sessions.items(), *self.added.items()]
        names = told_apart(session for _, session in both)
        return {
            key if key in self._given else name: session
            for (key, session), name in zip(both, names, strict=True)
        }

    async def _show_results(self) -> None:
        sessions = self._shown()
        if sessions:
            self._live.say("Drawing …")
        self.last.layout.display = "none"
        await self._results.show(sessions)
        self._kept.keep(self._results.as_html())
        if sessions:
            await self._show_timeline()

    async def _show_timeline(self) -> None:
        """Show all sessions on the timeline, or the one that is chosen."""
        shown, chosen = self._shown(), self.timeline_of.value
        sessions = {chosen: shown[chosen]} if chosen in shown else shown
        clip = self._clip
        if clip is not None and not all(is_of(clip, one) for one in sessions.values()):
            clip = None
        self.timeline.data = (await asyncio.to_thread(timeline, sessions, clip=clip)).data
        self.transcript.value = ""  # the timeline has it

    def _timeline_chosen(self) -> None:
        if self.task is None or self.task.done():  # or it is filled in just now
            self._begin(self._show_timeline)
