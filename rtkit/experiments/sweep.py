"""A grid of sessions: every clip with every chunk duration and pacing, so many times over.

The unit of work is one session, and its file is the proof that it was done: it is written aside
and takes its name when the session is complete. So a sweep that was interrupted goes on where it
stopped, and a worker that is killed loses the session that it was in, which is then run anew.
Where the sessions run is left to any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import asyncio
import glob
import hashlib
import inspect
import json
import os
import random
import sys
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtkit.analysis.frames import to_frame
from rtkit.audio import SUFFIXES, AudioError, Clip, open_clip
from rtkit.experiments.simulate import simulate
from rtkit.pacing import choose_pacing, chunk_edges, due_times
from rtkit.recording import StreamError, load_session
from rtkit.sending.stream import Service, stream
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sweep"]

SESSIONS_PER_MINUTE = 5  # new sessions that AssemblyAI lets a free account open in a minute
GREETING = 3.0  # seconds that a session is open before and after its audio, about
GRID = (
    "record",
    "on_event",
    "connection",
    "clip",
    "pacing",
    "chunk",
    "service",
)  # not for `options`


@dataclass(frozen=True)
class _Cell:
    """One session of the grid; all that a worker needs to run it."""

    clip: Clip
    chunk: float
    pacing: str
    repeat: int
    path: Path
    options: Mapping[str, Any]
    simulated: bool
    home: int  # the process that asked for it

    @property
    def failure(self) -> Path:
        """The facts of a session that failed: no ``.jsonl``, or it would pass for a whole one."""
        return self.path.with_suffix(".failed")

    @property
    def seconds(self) -> float:
        """About how long its session will be open."""
        work = self.options.get("work", 0.0)
        idle = work / self.chunk if self.pacing == "fixed_sleep" and not callable(work) else 0.0
        return self.clip.seconds * (1 + idle) + GREETING


async def sweep(
    clips: Clip | str | Path | Iterable[Clip | str | Path],
    *,
    chunks: float | Iterable[float] = (0.1,),
    pacings: str | Iterable[str] = ("fixed_sleep", "wall_clock"),
    service: Service | None = None,
    repeats: int = 1,
    executor: Executor | None = None,
    folder: str | Path = "runs/sweep",
    seed: int = 0,
    max_concurrency: int | None = None,
    sessions_per_minute: float | None = None,
    confirm: bool | Callable[[str], object] | None = None,
    simulated: bool = False,
    progress: bool = True,
    **options: Any,
) -> pd.DataFrame:
    """Stream every clip with every chunk duration and pacing, and return a table of the sessions.

    Each session goes to a file of its own in `folder` as it ends. Called again with the same grid
    it runs what is not there yet, what failed included. A session that fails is recorded, and the
    sweep goes on.

    Parameters
    ----------
    clips : Clip or path, or several
        A folder stands for all recordings that lie in it.
    chunks : float or several
        Seconds of audio a message.
    pacings : str or several
    service : optional
        As for `rtkit.stream`. Workers in other processes start embedded services of their own.
    repeats : int
        How many sessions of each kind.
    executor : concurrent.futures.Executor, optional
        Where the sessions run: a process pool, Dask's ``Client.get_executor()``, ipyparallel's
        ``view.executor``... This process without it, in the caller's loop. Its workers must see
        the clips and the folder under the same paths.
    folder : str or Path
        Gets the sessions (``*.jsonl``), what failed (``*.failed``) and the table
        (``sweep.parquet``).
    seed : int
        Of the order in which the sessions run, so that nothing that changes in the course of the
        sweep (a host that warms up, a network at noon) falls on one pacing.
    max_concurrency : int, optional
        How many sessions may be open at the same time. Without an executor 1: sessions that share
        an interpreter disturb each other. With one, as many as it runs.
    sessions_per_minute : float, optional
        How many sessions may be opened in a minute, evenly spaced; for AssemblyAI 5, which is what
        a free account may do. No bound otherwise.
    confirm : bool or callable, optional
        Whether a sweep against a service that bills begins: True, or a function of the sentence
        that states the cost. Without it the person at the keyboard is asked.
    simulated : bool
        Run `rtkit.simulate` instead of `rtkit.stream`: in virtual time, without a service. Each
        repeat has a seed of its own.
    progress : bool
        Show a bar with the time left, and say at the end what failed.
    **options
        The other parameters of `rtkit.stream` (of `rtkit.simulate`), the same for all; `catch_up`
        is for the wall clock alone.

    Returns
    -------
    pandas.DataFrame
        A row a session, in the grid's order: the columns of ``rtkit.to_frame(..., "sessions")``,
        and before them ``recording``, ``clip_start`` (seconds into the recording), ``chunk``,
        ``pacing``, ``repeat``, ``order`` (the place in the order in which they were run),
        ``file``, ``error`` (empty where all went well; NaN stands in the figures of the others),
        and ``open_seconds`` (session time, which is what services bill).

    Raises
    ------
    ValueError, TypeError
        If anything asked for cannot be; before the first session.
    RuntimeError
        If the service bills and nobody agreed.
    ImportError
        If pandas, pyarrow or tqdm are not installed.

    Notes
    -----
    When it is cancelled, sessions in this process end cleanly and are run anew the next time;
    those that run elsewhere go on to their end, and count.

    ``AssemblyAI(key=...)`` goes to the workers with its key, in memory; where the way there is not
    private, leave the key to their environment: ``AssemblyAI()``.
    """
    _need_libraries()
    clips = [clips] if isinstance(clips, Clip | str | Path) else clips
    cells = _grid(
        [clip for given in clips for clip in _opened(given)],
        [float(chunk) for chunk in ([chunks] if isinstance(chunks, int | float) else chunks)],
        [pacings] if isinstance(pacings, str) else list(pacings),
        repeats,
        service,
        Path(folder),
        simulated,
        options,
    )
    bills = isinstance(service, AssemblyAI)
    if bills and sessions_per_minute is None:
        sessions_per_minute = SESSIONS_PER_MINUTE
    if sessions_per_minute is not None and executor is not None and max_concurrency is None:
        raise ValueError(
            f"With {sessions_per_minute:g} new sessions a minute and an executor, give "
            "max_concurrency=, how many sessions its workers can hold open: a queue in the "
            "executor would start them in bursts"
        )
    for name, value in (
        ("max_concurrency", max_concurrency),
        ("sessions_per_minute", sessions_per_minute),
    ):
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value:g} would never start a session; give 1 or more")
    max_concurrency = max_concurrency or (1 if executor is None else max(1, len(cells)))
    shuffled = random.Random(seed).sample(cells, len(cells))
    left = [cell for cell in shuffled if not cell.path.exists()]
    if bills and left:
        _agree(left, str(getattr(service, "speech_model", "")), confirm)
    run = _session if executor is None else partial(_elsewhere, executor)
    spacing = 60 / sessions_per_minute if sessions_per_minute is not None else 0.0
    errors = await _run_all(
        left, run, max_concurrency=max_concurrency, spacing=spacing, progress=progress
    )
    await asyncio.to_thread(_tidy, cells)
    table = await asyncio.to_thread(_table, cells, shuffled, errors)
    await asyncio.to_thread(_write, table, Path(folder) / "sweep.parquet")
    if progress:
        print(_outcome(len(cells), len(left), errors))
    return table


# The grid.


def _grid(
    clips: list[Clip],
    chunks: list[float],
    pacings: list[str],
    repeats: int,
    service: Service | None,
    folder: Path,
    simulated: bool,
    options: dict[str, Any],
) -> list[_Cell]:
    """The sessions asked for, each once; what cannot be is refused here, before the first."""
    known = set(inspect.signature(simulate if simulated else stream).parameters) - set(GRID)
    for name in options:
        if name not in known:
            raise TypeError(f"sweep takes no {name!r}; it takes {', '.join(sorted(known))}")
    if repeats < 1:
        raise ValueError(f"repeats={repeats} leaves nothing to run; give 1 or more")
    if simulated and service is not None:
        raise ValueError("simulated=True brings its own service; leave service out, give delay=...")
    if isinstance(service, type) or not (service is None or hasattr(service, "connect_info")):
        raise TypeError(
            f"{service!r} is no service; give rtkit.AssemblyAI() or rtkit.Loopback(), an instance"
        )
    if isinstance(service, AssemblyAI):
        service.find_key()
    folder = folder.absolute()  # a worker may have another working directory
    cells: dict[Path, _Cell] = {}
    for clip in clips:
        content = _content(clip)
        described = {} if service is None else service.describe(clip.reference)
        for chunk, pacing, repeat in product(chunks, pacings, range(repeats)):
            own = dict(options) if simulated else {**options, "service": service}
            if pacing != "wall_clock":
                own.pop("catch_up", None)
            if simulated:
                own["seed"] = own.get("seed", 0) + repeat
            choose_pacing(pacing, catch_up=own.get("catch_up"))
            edges = chunk_edges(clip.samples, clip.rate, chunk)
            due_times(edges, clip.rate, own.get("phase", "end"))
            asked = {**own, "service": "simulated" if simulated else described}
            asked.pop("calibration", None)  # says nothing of how the session was run
            name = _name(clip, content, chunk, pacing, repeat, asked)
            path = folder / f"{name}.jsonl"
            cells[path] = _Cell(clip, chunk, pacing, repeat, path, own, simulated, os.getpid())
    if not cells:
        raise ValueError("the grid is empty: give at least one clip, one chunk and one pacing")
    return list(cells.values())


def _opened(given: Clip | str | Path) -> list[Clip]:
    """A clip, or the one of a file, or those of a folder's recordings."""
    if isinstance(given, Clip):
        return [given]
    path = Path(given)
    if not path.is_dir():
        return [open_clip(path)]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    clips = [open_clip(file) for file in files if not file.name.startswith(".")]
    if not clips:
        raise AudioError(
            f"The folder {path} holds no recording; give another one, or put files there that end "
            f"in {', '.join(SUFFIXES)}"
        )
    return clips


def _content(clip: Clip) -> str:
    """What the clip holds, wherever its file lies: the recording and what is said in it."""
    digest = hashlib.sha256(repr((clip.first, clip.samples, clip.rate)).encode())
    if clip.path.is_file():
        with clip.path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if clip.reference is not None:
        digest.update(json.dumps(clip.reference.to_json(), sort_keys=True).encode())
    return digest.hexdigest()


def _name(
    clip: Clip, content: str, chunk: float, pacing: str, repeat: int, asked: Mapping[str, Any]
) -> str:
    """A file's name, for people, and a hash of all that makes this session this one."""
    everything = [content, chunk, pacing, repeat, asked]
    text = json.dumps(everything, sort_keys=True, default=lambda v: getattr(v, "__qualname__", ""))
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{clip.path.stem}-{pacing}-{chunk * 1000:g}ms-{repeat}-{digest}"


# Running it.


async def _run_all(
    cells: list[_Cell],
    run: Callable[[_Cell], Awaitable[str]],
    *,
    max_concurrency: int,
    spacing: float,
    progress: bool,
) -> dict[Path, str]:
    """Run the cells in this order; the errors of those that failed, by their files."""
    from tqdm.auto import tqdm

    loop, places = asyncio.get_running_loop(), asyncio.Semaphore(max_concurrency)
    errors: dict[Path, str] = {}
    running: set[asyncio.Task[None]] = set()
    form = "{desc} |{bar}| {percentage:3.0f}%, {elapsed} gone, {remaining} left"

    def told(done: int) -> str:
        failed = f", {len(errors)} failed" if errors else ""
        return f"{done} of {len(cells)} sessions{failed}"

    bar = tqdm(
        total=sum(cell.seconds for cell in cells),
        desc=told(0),  # at once, or it begins as a line that says nothing
        bar_format=form,
        disable=not (progress and cells),
    )

    async def one(cell: _Cell) -> None:
        try:
            error = await run(cell)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            error = "The executor dropped the session; call sweep again: it resumes."
        except BrokenExecutor:
            error = (
                "The executor lost a worker and takes no more work; call sweep again with a new "
                "one: it resumes where this one stopped."
            )
        except Exception as refused:  # of the executor; one session must not end the sweep
            error = _sentence(refused)
        finally:
            places.release()
        if error:
            errors[cell.path] = error
        bar.update(cell.seconds)
        bar.set_description_str(told(len(cells) - waiting - len(running) + 1))

    waiting, start = len(cells), loop.time()
    try:
        for cell in cells:
            await places.acquire()
            await asyncio.sleep(start - loop.time())
            start = loop.time() + spacing
            task = asyncio.create_task(one(cell), name="rtkit-sweep")
            running.add(task)
            task.add_done_callback(running.discard)
            waiting -= 1
        await asyncio.gather(*running)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        bar.close()
    return errors


async def _elsewhere(executor: Executor, cell: _Cell) -> str:
    return await asyncio.wrap_future(executor.submit(_work, cell))


def _work(cell: _Cell) -> str:
    """What a worker does: one session, from its own event loop."""
    return asyncio.run(_session(cell))


async def _session(cell: _Cell) -> str:
    """Run the session of a cell and keep it; what went wrong, in a sentence, or nothing."""
    if await asyncio.to_thread(cell.path.exists):  # a worker that was thought dead may have done it
        return ""
    part = cell.path.with_name(f".{cell.path.stem}.{uuid.uuid4().hex[:8]}.part")
    asked: dict[str, Any] = {"chunk": cell.chunk, "pacing": cell.pacing, **cell.options}
    try:
        if cell.simulated:
            session = await asyncio.to_thread(simulate, cell.clip, **asked)
            session.save(part)
        else:
            await stream(cell.clip, record=part, **asked)
        part.replace(cell.path)
        cell.failure.unlink(missing_ok=True)
    except StreamError as error:
        error.session.save(cell.failure)
        return str(error)
    except Exception as error:  # recorded, so that the next session is run
        return _sentence(error)
    finally:
        part.unlink(missing_ok=True)
        close = getattr(cell.options.get("service"), "close", None)
        if os.getpid() != cell.home and close is not None:
            await asyncio.to_thread(close)  # a copy, which came with this cell
    return ""


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


# What it costs, and what came of it.


def _agree(cells: list[_Cell], model: str, confirm: bool | Callable[[str], object] | None) -> None:
    """State the cost in session time, and ask; raises RuntimeError unless somebody agrees."""
    minutes = sum(cell.seconds for cell in cells) / 60
    cost = (
        f"{len(cells)} sessions will be open for about {minutes:.1f} minutes of session time "
        f"together, billed by AssemblyAI ({model})."
    )
    if confirm is None:
        try:
            answer = input(f"{cost} Begin? [y/N] ")
        except (EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise RuntimeError(
                f"The sweep was not begun: {cost} There is nobody to ask here; pass confirm=True "
                "if that is meant."
            ) from error
        agreed = answer.strip().casefold() in ("y", "yes")
    else:
        if confirm is True:
            print(cost, file=sys.stdout)
        agreed = bool(confirm(cost)) if callable(confirm) else bool(confirm)
    if not agreed:
        raise RuntimeError(f"The sweep was not begun, as asked: {cost}")


def _tidy(cells: list[_Cell]) -> None:
    """Remove the halves of sessions that workers were killed in; those are whole by now."""
    for cell in cells:
        if cell.path.exists():
            for part in cell.path.parent.glob(f".{glob.escape(cell.path.stem)}.*.part"):
                part.unlink(missing_ok=True)


def _table(cells: list[_Cell], order: list[_Cell], errors: Mapping[Path, str]) -> pd.DataFrame:
    import pandas as pd

    places = {cell.path: place for place, cell in enumerate(order)}
    rows = []
    for cell in cells:
        row: dict[str, Any] = {
            "session": cell.path.stem,
            "recording": cell.clip.path.name,
            "clip_start": cell.clip.first / cell.clip.rate,
            "chunk": cell.chunk,
            "pacing": cell.pacing,
            "repeat": cell.repeat,
            "order": places[cell.path],
            "file": str(cell.failure if cell.path in errors else cell.path),
            "error": errors.get(cell.path, ""),
        }
        if cell.path in errors:
            row |= {"ending": "failed", "valid": False, "seconds": cell.clip.seconds}
        else:
            session = load_session(cell.path)
            figures = to_frame({cell.path.stem: session}, "sessions").iloc[0].to_dict()
            row = {**row, "open_seconds": _open_seconds(session), **figures}
        rows.append(row)
    rows.sort(key=lambda row: bool(row["error"]))  # a whole one first: it knows all columns
    table = pd.DataFrame(rows)
    table = table.set_index("session").loc[[cell.path.stem for cell in cells]].reset_index()
    table["valid"] = table["valid"].astype(bool)
    return table


def _open_seconds(session: Session) -> float:
    """From the connection to the end: the time that a service bills."""
    opened = next((event.at for event in session.events if event.name == "connected"), 0.0)
    return session.ending.at - opened if session.ending is not None else float("nan")


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.part")
    table.to_parquet(part, index=False)
    part.replace(path)


def _outcome(cells: int, run: int, errors: Mapping[Path, str]) -> str:
    """What came of it, in a line, and below it the errors, each kind once."""
    lines = [f"{cells} sessions: {cells - run} were there, {run - len(errors)} run now"]
    if errors:
        lines[0] += f", {len(errors)} failed; call sweep again to try those again"
        lines += [f"{count} × {error}" for error, count in Counter(errors.values()).most_common()]
    return "\n".join(lines)


def _need_libraries() -> None:
    try:
        import pandas as pd  # noqa: F401
        import pyarrow  # noqa: F401
        import tqdm  # noqa: F401
    except ImportError as error:
        raise ImportError(
            f"sweep needs pandas, pyarrow and tqdm, and {error.name} is not installed: "
            "pip install 'rtkit[sweep]'"
        ) from error
