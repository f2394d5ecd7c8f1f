"""A grid of sessions: every clip with every chunk duration and pacing, repeated.

The unit of work is one session, and its file is the proof that it was done: it is written aside and
renamed when the session is complete. So an interrupted sweep resumes where it stopped, and a worker
that is killed loses only its current session, which runs again. Where the sessions run is left to
any `concurrent.futures.Executor`.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtkit.audio import Clip
from rtkit.boundary.files import alone, make_folder
from rtkit.boundary.text import counted
from rtkit.boundary.values import check_numbers
from rtkit.experiments.sweep.consent import agree
from rtkit.experiments.sweep.grid import Cell, make_grid, open_clips
from rtkit.experiments.sweep.table import make_table, write_table
from rtkit.experiments.sweep.workers import run_all, run_elsewhere, run_here, tidy
from rtkit.services.service import Service, Vendor

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["sweep"]


async def sweep(
    clips: Clip | str | Path | Iterable[Clip | str | Path],
    *,
    chunks: float | Iterable[float] = (0.1,),
    pacings: str | Iterable[str] = ("fixed_sleep", "wall_clock"),
    service: Service | None = None,
    services: Mapping[str, Service | None] | None = None,
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

    Each session is saved in its own file in `folder` when it ends. When called again with the same
    grid, it runs only the sessions that are missing or failed. A session that fails is recorded,
    and the sweep goes on.

    Parameters
    ----------
    clips : Clip or path, or several
        A folder stands for all recordings in it.
    chunks : float or several
        Seconds of audio per message.
    pacings : str or several
    service : optional
        As for `rtkit.stream`. Workers in other processes start their own embedded services.
    services : mapping of str to service, optional
        Instead of `service`: several services, by name. The table has the name in its column
        ``service_name``; compare two with ``rtkit.compare_paired(table, by="service_name", ...)``.
    repeats : int
        Number of sessions of each kind.
    executor : concurrent.futures.Executor, optional
        Where the sessions run: a process pool, Dask's ``Client.get_executor()``, ipyparallel's
        ``view.executor``, and so on; by default, in this process, in the caller's loop. Workers
        must see the clips and the folder under the same paths.
    folder : str or Path
        Where the sessions (``*.jsonl``), failures (``*.failed``) and the table (``sweep.parquet``)
        are saved.
    seed : int
        Seed of the random order in which the sessions run, so that nothing that changes during the
        sweep (a host that warms up, a busy network at noon) affects one pacing only.
    max_concurrency : int, optional
        The maximum number of concurrent sessions; by default, as many as the executor runs, or 1
        without an executor, because sessions that share an interpreter disturb each other.
    sessions_per_minute : float, optional
        The maximum number of new sessions per minute, evenly spaced. The default for AssemblyAI is
        5, the limit of a free account; for several services, the lowest of their defaults;
        otherwise unlimited.
    confirm : bool or callable, optional
        Agreement to the cost of a service that bills: True, or a function that takes the sentence
        stating the cost and returns whether to begin. By default, you are asked.
    simulated : bool
        Run `rtkit.simulate` instead of `rtkit.stream`: in virtual time, without a service. Each
        repeat has its own seed.
    progress : bool
        Show a bar with the time left and, at the end, what failed.
    **options
        Other parameters of `rtkit.stream` (or `rtkit.simulate`), the same for all sessions;
        `catch_up` applies only to the wall clock. A `work` function is recognized in a later run by
        its code.

    Returns
    -------
    pandas.DataFrame
        One row per session, in the grid's order. The columns are ``recording``, ``clip_start``
        (seconds into the recording), ``chunk``, ``pacing``, ``repeat``, ``order`` (the position in
        which it ran), ``file``, ``error`` (empty if all went well; otherwise the metrics are NaN)
        and ``open_seconds`` (session time, which is what services bill), then those of
        ``rtkit.to_frame(..., "sessions")``.

    Raises
    ------
    ValueError, TypeError
        If a parameter is invalid, or another sweep runs in `folder`; before the first session.
    RuntimeError
        If the service bills and nobody agreed to the cost.
    ImportError
        If pandas, pyarrow or tqdm are not installed.

    Notes
    -----
    If cancelled, sessions in this process end properly and run again the next time; sessions that
    run elsewhere continue to their end, and count.

    ``AssemblyAI(key=...)`` is sent to the workers with its key, in memory. If the connection to
    them is not private, set the key in their environment and pass ``AssemblyAI()``.
    """
    _need_libraries()
    if services is not None and service is not None:
        raise ValueError("give service or services, not both")
    services = {"": service} if services is None else services
    cells = make_grid(
        open_clips(clips),
        [float(chunk) for chunk in ([chunks] if isinstance(chunks, int | float) else chunks)],
        [pacings] if isinstance(pacings, str) else list(pacings),
        repeats=repeats,
        services=services,
        folder=Path(folder),
        simulated=simulated,
        options=options,
    )
    rates = [one.SESSIONS_PER_MINUTE for one in services.values() if isinstance(one, Vendor)]
    if sessions_per_minute is None:
        sessions_per_minute = min((rate for rate in rates if rate is not None), default=None)
    if sessions_per_minute is not None and executor is not None and max_concurrency is None:
        raise ValueError(
            f"With {sessions_per_minute:g} new sessions a minute and an executor, give "
            "max_concurrency=, the number of sessions that its workers can hold open; "
            "otherwise a queue in the executor would start them in bursts"
        )
    for name, value in (
        ("max_concurrency", max_concurrency),
        ("sessions_per_minute", sessions_per_minute),
    ):
        check_numbers(optional=True, unit="", **{name: value})
        if value is not None and not value > 0:
            raise ValueError(f"{name}={value:g} would never start a session; give 1 or more")
    max_concurrency = max_concurrency or (1 if executor is None else max(1, len(cells)))
    shuffled = random.Random(seed).sample(cells, len(cells))
    folder = Path(folder)
    make_folder(folder)
    busy = f"another sweep is running in {folder}; wait until it has ended, or give another folder="
    with alone(folder / ".sweep.lock", busy):
        left = await asyncio.to_thread(lambda: [cell for cell in shuffled if not cell.done])
        if billed := _billed(left):
            agree(billed, confirm)
        run = run_here if executor is None else partial(run_elsewhere, executor)
        spacing = 60 / sessions_per_minute if sessions_per_minute is not None else 0.0
        errors = await run_all(
            left, run, max_concurrency=max_concurrency, spacing=spacing, progress=progress
        )
        await asyncio.to_thread(tidy, cells)
        table = await asyncio.to_thread(make_table, cells, shuffled, errors)
        await asyncio.to_thread(write_table, table, folder / "sweep.parquet")
    if progress:
        print(_outcome(len(cells), len(left), errors))
    return table


def _billed(cells: Sequence[Cell]) -> dict[str, list[Cell]]:
    """The sessions of each service that bills, by what it is called."""
    billed: dict[str, list[Cell]] = {}
    for cell in cells:
        if isinstance(cell.service, Vendor):
            model = cell.service.describe(cell.clip.reference).get("speech_model")
            whom = f"{cell.service.NAME} ({model or 'its usual model'})"
            billed.setdefault(whom, []).append(cell)
    return billed


def _outcome(cells: int, run: int, errors: Mapping[Path, str]) -> str:
    """What came of it, in a line, and below it the errors, each kind once."""
    lines = [
        f"{counted(cells, 'session')}: {cells - run} already complete, {run - len(errors)} run now"
    ]
    if errors:
        lines[0] += f", {len(errors)} failed; call sweep again to retry them"
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
