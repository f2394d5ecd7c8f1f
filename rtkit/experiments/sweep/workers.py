"""Running the sessions of a sweep: in this loop, or wherever an executor runs them."""

from __future__ import annotations

import asyncio
import glob
import os
import uuid
from collections.abc import Awaitable, Callable
from concurrent.futures import BrokenExecutor, Executor
from dataclasses import replace
from pathlib import Path

from rtkit.boundary.text import counted
from rtkit.experiments.simulate import Models, simulate_plan
from rtkit.experiments.sweep.grid import Cell
from rtkit.recording import StreamError
from rtkit.sending.connect import way_to
from rtkit.sending.stream import stream_plan

__all__ = ["run_all", "run_elsewhere", "run_here", "tidy", "work"]


async def run_all(
    cells: list[Cell],
    run: Callable[[Cell], Awaitable[str]],
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
        return f"{done} of {counted(len(cells), 'session')}{failed}"

    bar = tqdm(
        total=sum(cell.seconds for cell in cells),
        desc=told(0),  # at once, or it begins as a line that says nothing
        bar_format=form,
        disable=not (progress and cells),
    )

    async def one(cell: Cell) -> None:
        try:
            error = await run(cell)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            error = "The executor dropped the session. Call sweep again to resume."
        except BrokenExecutor:
            error = (
                "The executor lost a worker and accepts no more work. Call sweep again with a "
                "new executor to resume."
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


async def run_elsewhere(executor: Executor, cell: Cell) -> str:
    return await asyncio.wrap_future(executor.submit(work, cell))


def work(cell: Cell) -> str:
    """What a worker does: one session, from its own event loop."""
    return asyncio.run(run_here(cell))


async def run_here(cell: Cell) -> str:
    """Run the session of a cell and keep it; what went wrong, in a sentence, or nothing."""
    if await asyncio.to_thread(
        lambda: cell.done
    ):  # a worker that was thought dead may have done it
        return ""
    part = cell.path.with_name(f".{cell.path.stem}.{uuid.uuid4().hex[:8]}.part")
    try:
        if isinstance(cell.how, Models):
            session = await asyncio.to_thread(simulate_plan, cell.clip, cell.plan, cell.how)
            session.save(part)
        else:
            how = replace(cell.how, record=part)
            await stream_plan(cell.clip, cell.plan, how, way_to(cell.service, cell.clip))
        part.replace(cell.path)
        cell.failure.unlink(missing_ok=True)
    except StreamError as error:
        error.session.save(cell.failure)
        return str(error)
    except Exception as error:  # recorded, so that the next session is run
        return _sentence(error)
    finally:
        part.unlink(missing_ok=True)
        close = getattr(cell.service, "close", None)
        if os.getpid() != cell.home and close is not None:
            await asyncio.to_thread(close)  # a copy, which came with this cell
    return ""


def _sentence(error: BaseException) -> str:
    return f"{type(error).__name__}: {str(error)[:300]}"


def tidy(cells: list[Cell]) -> None:
    """Remove the halves of sessions that workers were killed in; those are whole by now."""
    for cell in cells:
        if cell.path.exists():
            for part in cell.path.parent.glob(f"*{glob.escape(cell.path.stem)}.*.part"):
                part.unlink(missing_ok=True)
