"""The panel: choose a recording, a chunk duration and a pacing; run, watch, and read the figures.

The session runs as a task in the kernel's event loop. What the person sees while it runs is text
and an SVG that the browser draws; figures are drawn when nothing is being paced.
"""

from __future__ import annotations

import asyncio
import html
import io
import tempfile
import weakref
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

import ipywidgets

from rtkit import protocol
from rtkit.audio import SUFFIXES, AudioError, bundled, open_clip
from rtkit.calibration import Calibration, calibrate
from rtkit.comparison import summarise
from rtkit.latency import senders_share, turn_latency
from rtkit.loopback.process import embedded
from rtkit.reference import SidecarError
from rtkit.session import Chunk, Fact, Message, Session, load_session
from rtkit.streaming import Service, StreamError, stream
from rtkit.trace import COLUMNS, trace_svg

__all__ = ["Panel", "panel"]

COMPARISON = ("fixed_sleep", "wall_clock")
REFRESH = 0.25  # seconds between looks at the running session
WIDE = {"width": "calc(100% - 4px)"}  # a widget has 2 px of margin

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
    run, stop, calibrate
        Buttons.
    progress, status, transcript, trace, table, figure, saved
        What is seen.
    task : asyncio.Task or None
        The running session, or the last one.
    sessions : dict of str to Session
        What was measured last, by pacing.
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
        self._key: str | None = None
        self._uploads: tempfile.TemporaryDirectory[str] | None = None
        self.task: asyncio.Task[None] | None = None
        self.sessions: dict[str, Session] = {}
        self.error: BaseException | None = None
        self.calibration: Calibration | None = None
        self._make_choosers(folder)
        self._make_results()
        super().__init__([self._choosers(), self._live(), self._results()])
        self.add_class("rt-panel")
        self._offer_files()
        self._show_key()
        _panels.add(self)

    # What can be chosen.

    def _make_choosers(self, folder: str | Path | None) -> None:
        style = {"description_width": "7em"}
        self.file = ipywidgets.Dropdown(description="recording", style=style, layout=WIDE)
        self.folder = ipywidgets.Text(
            description="folder",
            value="" if folder is None else str(folder),
            placeholder="a folder with more recordings",
            continuous_update=False,
            style=style,
            layout=WIDE,
        )
        self.upload = ipywidgets.FileUpload(
            description="upload a recording",
            accept=",".join((*SUFFIXES, ".json")),
            multiple=True,
            layout={"width": "auto", "margin": "2px 2px 2px 7.6em"},
            tooltip="A recording, and its reference (JSON) if there is one",
        )
        self.start = ipywidgets.BoundedFloatText(
            0, min=0, max=1e6, step=1, description="from, s", style=style, layout={"width": "14em"}
        )
        self.seconds = ipywidgets.BoundedFloatText(
            25,
            min=0,
            max=1e6,
            step=5,
            description="length, s",
            style=style,
            layout={"width": "14em"},
            tooltip="0 takes the whole recording",
        )
        self.chunk = ipywidgets.BoundedIntText(
            100,
            min=50,
            max=1000,
            step=10,
            description="chunk, ms",
            style=style,
            layout={"width": "14em"},
        )
        self.presets = ipywidgets.ToggleButtons(
            options=[("50", 50), ("100", 100), ("200", 200)],
            value=100,
            style={"button_width": "4em"},
            tooltips=["closest to a microphone", "usual", "fewer messages"],
        )
        self.pacing = ipywidgets.Dropdown(
            description="pacing",
            options=[
                ("compare naive with wall clock", "compare"),
                ("wall clock", "wall_clock"),
                ("naive (fixed sleep)", "fixed_sleep"),
                ("unpaced", "unpaced"),
            ],
            style=style,
            layout=WIDE,
        )
        self.work = ipywidgets.BoundedFloatText(
            5,
            min=0,
            max=1000,
            step=1,
            description="work, ms",
            style=style,
            layout={"width": "14em"},
            tooltip="What the sender does after each chunk, besides sending",
        )
        self.stall = ipywidgets.BoundedFloatText(
            0,
            min=0,
            max=10000,
            step=100,
            description="stall, ms",
            style=style,
            layout={"width": "14em"},
            tooltip="Block the loop once, for so long, to see each pacing recover or not",
        )
        self.stall_at = ipywidgets.BoundedFloatText(
            5, min=0, max=1e6, step=1, description="at, s", style=style, layout={"width": "14em"}
        )
        self.isolation = ipywidgets.Dropdown(
            description="sender",
            options=[
                ("in the notebook's loop", "loop"),
                ("in a thread of its own", "thread"),
                ("in a process of its own", "process"),
            ],
            style=style,
            layout=WIDE,
        )
        self.service = ipywidgets.Dropdown(
            description="service",
            options=[
                ("embedded (no key, offline)", "embedded"),
                ("embedded, with a real recognizer", "recognizer"),
                ("AssemblyAI", "assemblyai"),
            ],
            style=style,
            layout=WIDE,
        )
        self.key = ipywidgets.Password(
            description="API key", continuous_update=False, style=style, layout=WIDE
        )
        self.run = ipywidgets.Button(description="Run", button_style="primary", icon="play")
        self.stop = ipywidgets.Button(description="Stop", icon="stop", disabled=True)
        self.calibrate = ipywidgets.Button(
            description="Calibrate",
            icon="crosshairs",
            tooltip="Measure the instrument's own error on this machine; takes about 6 s",
        )
        # In some kernels callbacks come on a thread of their own: hop to the loop, always.
        self.run.on_click(lambda _: self._loop.call_soon_threadsafe(self._begin, self._run))
        self.calibrate.on_click(
            lambda _: self._loop.call_soon_threadsafe(self._begin, self._calibrate)
        )
        self.stop.on_click(lambda _: self.stop_session())
        self.presets.observe(self._preset_chosen, "value")
        self.chunk.observe(self._chunk_chosen, "value")
        self.folder.observe(self._folder_named, "value")
        self.upload.observe(self._uploaded, "value")
        self.service.observe(lambda _: self._show_key(), "value")
        self.key.observe(self._key_typed, "value")

    def _choosers(self) -> ipywidgets.Widget:
        recording = ipywidgets.VBox(
            [self.file, self.folder, self.upload, _row(self.start, self.seconds)]
        )
        sending = ipywidgets.VBox(
            [
                self.pacing,
                _row(self.chunk, self.presets),
                self.work,
                _row(self.stall, self.stall_at),
                self.isolation,
                self.service,
                self.key,
            ]
        )
        for half in (recording, sending):
            half.layout = ipywidgets.Layout(flex="1 1 26em", min_width="20em", overflow="visible")
        for widget, name in (
            (self.run, "rt-run"),
            (self.stop, "rt-stop"),
            (self.file, "rt-file"),
            (self.seconds, "rt-seconds"),
            (self.chunk, "rt-chunk"),
            (self.pacing, "rt-pacing"),
            (self.upload, "rt-upload"),
        ):
            widget.add_class(name)
        return ipywidgets.HBox([recording, sending], layout={"flex_flow": "row wrap"})

    def _preset_chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self.chunk.value = change["new"]

    def _chunk_chosen(self, change: Mapping[str, Any]) -> None:
        offered = [value for _, value in self.presets.options]
        self.presets.value = change["new"] if change["new"] in offered else None

    def _folder_named(self, _: Mapping[str, Any]) -> None:
        self._say("")
        self._offer_files()

    def _offer_files(self) -> None:
        """Offer uploaded recordings, the folder's, and those that come with rtkit."""
        found = [] if self._uploads is None else list(_recordings(Path(self._uploads.name)))
        named = self.folder.value.strip()
        if named:
            try:
                found += _recordings(Path(named).expanduser())
            except (OSError, RuntimeError) as error:  # RuntimeError: ~somebody unknown
                reason = getattr(error, "strerror", None) or str(error)
                self._fail(
                    AudioError(f"The folder {named} cannot be read ({reason}). Check its name.")
                )
        chosen = self.file.value
        files = {str(path): path.name for path in (*found, *bundled())}
        self.file.options = [(name, path) for path, name in files.items()]
        self.file.value = chosen if chosen in files else next(iter(files), None)

    def _uploaded(self, change: Mapping[str, Any]) -> None:
        if not change["new"]:
            return
        if self._uploads is None:
            self._uploads = tempfile.TemporaryDirectory(prefix="rtkit-")
        paths = []
        for item in change["new"]:
            path = Path(self._uploads.name) / Path(item["name"]).name
            path.write_bytes(item["content"])
            paths.append(path)
        self.upload.value = ()  # the bytes need not stay in the widget, nor in a saved notebook
        recordings = [path for path in paths if path.suffix.lower() in SUFFIXES]
        self._offer_files()
        for path in recordings[:1]:
            self.file.value = str(path)
            self._try_to_open()
        if not recordings:
            names = ", ".join(path.name for path in paths)
            self._fail(
                AudioError(f"{names} is no recording by its name; it takes {', '.join(SUFFIXES)}.")
            )

    def _try_to_open(self) -> None:
        try:
            clip = open_clip(self.file.value)
        except (AudioError, SidecarError) as error:
            self._fail(error)
        else:
            self._say(f"{clip.path.name}: {clip.seconds:.1f} s at {clip.rate} Hz.")

    def _show_key(self) -> None:
        self.key.layout.display = "flex" if self.service.value == "assemblyai" else "none"
        try:
            _key_present(self._key)
            self.key.placeholder = "a key is there; it stays in memory only"
        except ValueError:
            self.key.placeholder = f"paste a key, or set {protocol.KEY_VARIABLE}"

    def _key_typed(self, change: Mapping[str, Any]) -> None:
        """Take the key out of the widget at once: a saved notebook keeps its widgets' values."""
        if change["new"]:
            self._key = change["new"].strip()
            self.key.value = ""
            self._show_key()

    # What is seen.

    def _make_results(self) -> None:
        self.progress = ipywidgets.FloatProgress(0, min=0, max=1, layout={"flex": "1 1 12em"})
        self.status = ipywidgets.HTML()
        self.transcript = ipywidgets.HTML()
        self.trace = ipywidgets.HTML()
        self.table = ipywidgets.HTML()
        self.figure = ipywidgets.Image(
            format="png", layout={"max_width": "1200px", "display": "none"}
        )
        self.saved = ipywidgets.HTML()
        for widget, name in (
            (self.progress, "rt-progress"),
            (self.status, "rt-status"),
            (self.transcript, "rt-transcript"),
            (self.trace, "rt-trace"),
            (self.table, "rt-table"),
            (self.figure, "rt-figure"),
            (self.saved, "rt-saved"),
        ):
            widget.add_class(name)

    def _live(self) -> ipywidgets.Widget:
        buttons = ipywidgets.HBox(
            [self.run, self.stop, self.calibrate, self.progress],
            layout={"flex_flow": "row wrap", "align_items": "center", "margin": "8px 0 0"},
        )
        self.trace.layout = ipywidgets.Layout(flex="2 1 30em", min_width="20em")
        self.transcript.layout = ipywidgets.Layout(flex="1 1 20em", min_width="16em")
        watching = ipywidgets.HBox(
            [self.trace, self.transcript], layout={"flex_flow": "row wrap", "overflow": "visible"}
        )
        return ipywidgets.VBox([buttons, self.status, watching], layout={"overflow": "visible"})

    def _results(self) -> ipywidgets.Widget:
        return ipywidgets.VBox(
            [self.figure, self.table, self.saved], layout={"overflow": "visible"}
        )

    def _say(self, sentence: str, *, wrong: bool = False) -> None:
        colour = "var(--jp-error-color1, #b00020)" if wrong else "inherit"
        role = "alert" if wrong else "status"
        self.status.value = (
            f'<div role="{role}" style="color: {colour}; line-height: 1.4; padding: 6px 0">'
            f"{html.escape(sentence)}</div>"
        )

    def _fail(self, error: BaseException) -> None:
        self.error = error
        self._say(_sentence(error), wrong=True)

    # Running.

    def _begin(self, job: Callable[[list[asyncio.Task[None]]], Coroutine[Any, Any, None]]) -> None:
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
        if self._uploads is not None:
            self._uploads.cleanup()
        super().close()

    async def _run(self, before: list[asyncio.Task[None]]) -> None:
        """Run what was chosen; whatever goes wrong is said in the panel."""
        self._busy(True)
        self.error, self.sessions = None, {}
        self.table.value = self.saved.value = self.transcript.value = self.trace.value = ""
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
        self._busy(True)
        self.error = None
        self._say("Calibrating, for about 6 s …")
        try:
            finished = await self._attempt(self._measure_the_instrument(before))
        finally:
            self._busy(False)
        if self.error is not None:
            self._fail(self.error)
        else:
            self._say(repr(self.calibration).strip("<>") if finished else "Stopped.")

    async def _measure_the_instrument(self, before: list[asyncio.Task[None]]) -> None:
        if before:
            await asyncio.wait(before)
        self.calibration = await calibrate()

    def _busy(self, busy: bool) -> None:
        self.run.disabled = self.calibrate.disabled = busy
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
        if before:
            self._say("Waiting until another panel's session has ended …")
            await asyncio.wait(before)
        if self.file.value is None:
            raise AudioError("There is no recording to choose. Name a folder, or upload one.")
        clip = open_clip(
            self.file.value, start=self.start.value, seconds=self.seconds.value or None
        )
        service: Service | None = None
        if self.service.value == "assemblyai":
            _key_present(self._key)
            service = protocol.AssemblyAI(key=self._key)
        elif self.service.value == "recognizer":
            service = embedded("recognizer")
        pacings = COMPARISON if self.pacing.value == "compare" else (self.pacing.value,)
        options = {  # read once: both sessions of a comparison are to have the same
            "chunk": self.chunk.value / 1000,
            "work": self.work.value / 1000,
            "isolation": self.isolation.value,
            "service": service,
            "calibration": self.calibration,
        }
        blocks = [(self.stall_at.value, self.stall.value / 1000)] if self.stall.value else []
        self._say("Connecting …")
        sent = asyncio.Event()
        watched = {pacing: _Watched(clip.seconds, sent) for pacing in pacings}
        showing = asyncio.create_task(self._keep_showing(watched, clip.seconds, sent))
        stamp = datetime.now().strftime("%Y-%m-%d_%H-%M-%S")
        try:
            for pacing in pacings:
                name = f"{stamp}_{clip.path.stem}_{self.chunk.value}ms_{pacing}.jsonl"
                path = self._record / name
                try:
                    self.sessions[pacing] = await stream(
                        clip,
                        pacing=pacing,
                        blocks=blocks,
                        **options,
                        record=path,
                        watch=watched[pacing].see,
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
        self, watched: Mapping[str, _Watched], seconds: float, sent: asyncio.Event
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

    def _show(self, watched: Mapping[str, _Watched], seconds: float) -> None:
        """Text and an SVG: cheap enough not to make the sender late."""
        begun = {pacing: seen for pacing, seen in watched.items() if seen.points}
        if not begun:
            return
        pacing, seen = list(begun.items())[-1]
        done = sum(one.points[-1][0] for one in begun.values())
        whole = seconds * len(watched)
        self.progress.value = done / whole
        self._say(f"{_spoken(pacing)}: {done:.0f} of {whole:.0f} s, {whole - done:.0f} s left")
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

    async def _show_results(self) -> None:
        sessions = {name: one for name, one in self.sessions.items() if one.chunks}
        if not sessions:
            return
        self._say("Drawing …")
        table = summarise(sessions)._repr_html_()
        self.table.value = f'<div style="line-height: 1.2">{table}</div>'
        self.figure.value = await asyncio.to_thread(_draw, sessions)
        self.figure.layout.display = "block"


class _Watched:
    """What a running session has shown so far, of bounded size however long it runs."""

    def __init__(self, seconds: float, sent: asyncio.Event) -> None:
        self._sent = sent
        self._column = seconds / COLUMNS
        self._older: list[tuple[float, float]] = []
        self.points: list[tuple[float, float]] = []  # audio and lateness, of the newest column
        self._unread: list[str] = []
        self._turns: dict[int, tuple[str, bool]] = {}

    def see(self, fact: Fact) -> None:
        if isinstance(fact, Chunk):
            if self.points and fact.due // self._column > self.points[0][0] // self._column:
                self._older += _extremes(self.points)
                self.points = []
            self.points.append((fact.due, fact.sent - fact.due))
            self._sent.set()
        elif isinstance(fact, Message):
            self._unread.append(fact.text)  # read later, when the sender waits anyway

    def line(self) -> tuple[list[float], list[float]]:
        """Audio and lateness: of each column the lowest and highest chunk, the newest ones all."""
        points = [*self._older, *self.points]
        return [audio for audio, _ in points], [lateness for _, lateness in points]

    def lines(self, shown: int = 8) -> list[str]:
        """The last turns as HTML, partial ones in italics."""
        unread, self._unread = self._unread, []
        for reply in map(protocol.parse, unread):
            if isinstance(reply, protocol.Turn) and reply.words:
                text = " ".join(word.text for word in reply.words)
                self._turns[reply.order] = (text, reply.end_of_turn)
        return [
            html.escape(text) if final else f"<i>{html.escape(text)} …</i>"
            for text, final in list(self._turns.values())[-shown:]
        ]


def _extremes(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of least and greatest lateness, in order of time."""
    return sorted({min(points, key=itemgetter(1)), max(points, key=itemgetter(1))})


def _recordings(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)


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
    from rtkit.plots import plot_comparison

    file = io.BytesIO()
    plot_comparison(sessions).savefig(file, format="png", dpi=110)
    return file.getvalue()


def _key_present(key: str | None) -> None:
    """Raise the same sentence as a session would, before anything is begun."""
    protocol.AssemblyAI(key=key).find_key()


def _row(*widgets: ipywidgets.Widget) -> ipywidgets.Widget:
    layout = {"flex_flow": "row wrap", "align_items": "baseline", "overflow": "visible"}
    return ipywidgets.HBox(list(widgets), layout=layout)
