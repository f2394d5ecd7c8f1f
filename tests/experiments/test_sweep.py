"""A grid of sessions: each once, whatever happens to the workers, the network and the sweep."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tqdm
from conftest import MakeClip
from conftest import simulate as virtually
from remains import children, nothing_remains

import rtkit
from rtkit.audio import AudioError, open_clip
from rtkit.boundary.files import alone
from rtkit.experiments.sweep.grid import make_grid
from rtkit.experiments.sweep.workers import run_all, work
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Endpoint

CALL = Path(__file__).parents[2] / "data" / "library_call.wav"


@pytest.fixture(autouse=True)
def no_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """tqdm keeps a thread for bars that stand still."""
    monkeypatch.setattr(tqdm.tqdm, "monitor_interval", 0)


def sweep(folder: Path, clips: Any = None, **asked: Any) -> pd.DataFrame:
    """A sweep in virtual time, of the first words of the call."""
    clips = open_clip(CALL, seconds=3) if clips is None else clips
    return asyncio.run(rtkit.sweep(clips, **{"folder": folder, "simulated": True, **asked}))


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def until(true: Callable[[], bool]) -> None:
    """Wait for what another process does; only the disk tells."""
    async with asyncio.timeout(60):
        while not await asyncio.to_thread(true):  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def test_a_row_a_session_in_the_grids_order(tmp_path: Path) -> None:
    clips = [open_clip(CALL, seconds=3), open_clip(CALL, seconds=3, start=3)]
    table = sweep(tmp_path, clips, chunks=(0.05, 0.1), repeats=2, work=0.003)
    assert table.groupby(["clip_start", "chunk", "pacing", "repeat"]).size().tolist() == [1] * 16
    assert table.clip_start.tolist() == [0.0] * 8 + [3.0] * 8
    assert table.pacing.tolist()[:4] == ["fixed_sleep"] * 2 + ["wall_clock"] * 2
    naive = table[table.pacing == "fixed_sleep"]
    expected = 0.003 * (3 / naive.chunk - 1)  # every chunk but the last loses its work
    np.testing.assert_allclose(naive.last_chunk_late_by, expected, atol=1e-6)
    np.testing.assert_allclose(table[table.pacing == "wall_clock"].lateness_max, 0, atol=1e-6)
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "sweep.parquet"), table)
    assert set(rtkit.load_session(tmp_path)) == set(table.session)


def test_a_folder_stands_for_its_recordings(tmp_path: Path, make_clip: MakeClip) -> None:
    clips = [make_clip(0.3), make_clip(0.2)]
    folder = clips[0].path.parent
    (folder / "README.md").write_text("no recording")
    clips[0].path.rename(folder / "LOUD.WAV")
    (folder / "._LOUD.WAV").write_bytes(b"what file managers leave")
    table = sweep(tmp_path / "runs", str(folder), pacings="wall_clock")
    assert table.recording.tolist() == ["LOUD.WAV", clips[1].path.name]
    with_more = sweep(tmp_path / "more", [CALL, folder], pacings="wall_clock")
    assert with_more.recording.tolist() == [CALL.name, *table.recording]
    (tmp_path / "empty").mkdir()
    with pytest.raises(AudioError, match=r"empty contains no recording; .*\.wav"):
        sweep(tmp_path / "runs", tmp_path / "empty")


def test_the_order_is_shuffled_by_the_seed_and_told(tmp_path: Path) -> None:
    first, again, other = (
        sweep(tmp_path / name, repeats=5, seed=seed).order.tolist()
        for name, seed in (("first", 1), ("again", 1), ("other", 2))
    )
    assert first == again != other
    assert sorted(first) == sorted(other) == list(range(10)) != first


def test_each_repeat_has_its_own_chance(tmp_path: Path) -> None:
    table = sweep(tmp_path, pacings="wall_clock", repeats=3, delay_spread=0.2)
    assert table.word_latency_p50.nunique() == 3


def test_it_resumes_where_it_stopped(tmp_path: Path) -> None:
    before = sweep(tmp_path, repeats=3)
    whole = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
    lost = sorted(whole)[2]
    lost.unlink()
    after = sweep(tmp_path, repeats=3)
    pd.testing.assert_frame_equal(before, after)
    now = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.jsonl")}
    assert {path for path in whole if now[path] != whole[path]} == {lost}


def test_what_makes_another_session_makes_another_file(tmp_path: Path) -> None:
    for asked in ({}, {"work": 0.002}, {"delay": 0.1}, {"phase": "start"}, {"chunks": 0.2}):
        sweep(tmp_path, pacings="wall_clock", **asked)
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    copy = tmp_path / "moved" / CALL.name
    copy.parent.mkdir()
    for path in (CALL, CALL.with_suffix(".json")):
        (copy.parent / path.name).write_bytes(path.read_bytes())
    sweep(tmp_path, open_clip(copy, seconds=3), pacings="wall_clock")
    assert len(list(tmp_path.glob("*.jsonl"))) == 5  # the same recording, elsewhere


@pytest.mark.parametrize(
    "cut", ["empty", "no ending", "middle of a line", "damaged", "garbage behind", "goes on behind"]
)
def test_a_file_that_is_not_whole_is_no_proof(tmp_path: Path, cut: str) -> None:
    before = sweep(tmp_path, repeats=2)
    victim, *others = sorted(tmp_path.glob("*.jsonl"))
    lines = victim.read_text().splitlines(keepends=True)
    victim.write_text(
        {
            "empty": "",
            "no ending": "".join(lines[:-1]),
            "middle of a line": "".join(lines[:9]) + lines[9][:20],
            "damaged": "".join([*lines[:5], "{}\n", *lines[6:]]),
            "garbage behind": "".join([*lines, '{"kind": "chu']),
            "goes on behind": "".join([*lines, '{"kind": "stall", "at": 9, "seconds": 1}\n']),
        }[cut]
    )
    whole = {path: path.stat().st_mtime_ns for path in others}
    pd.testing.assert_frame_equal(sweep(tmp_path, repeats=2), before)
    assert victim.read_text().splitlines(keepends=True) == lines
    assert {path: path.stat().st_mtime_ns for path in others} == whole


def spin(times: int, audio: bytes = b"") -> None:
    for _ in range(times):
        pass


THREE = 3


def test_functions_that_do_different_things_do_not_share_a_session(tmp_path: Path) -> None:
    """By what they do, not by their names; and the same function is the same tomorrow."""

    def closed_over(times: int) -> Callable[[bytes], None]:
        return lambda audio: spin(times)

    def calls_itself(audio: bytes) -> None:
        if len(audio) > 1e9:
            calls_itself(audio[1:])

    works: list[Any] = [
        lambda audio: None,
        lambda audio: spin(1),
        lambda audio: spin(2),
        lambda audio: spin(THREE),
        lambda audio: audio in {b"a", b"b", b"c"},
        closed_over(1),
        closed_over(2),
        partial(spin, 1),
        partial(spin, 2),
        spin,
        len,
        calls_itself,
        Counter({"a": 1}).update,
        Counter({"a": 2}).update,
    ]
    grid = partial(make_grid, [open_clip(CALL, seconds=1)], [0.1], ["wall_clock"], folder=tmp_path)
    names = [grid(options={"work": work})[0].path for work in works]
    assert len(set(names)) == len(works)
    again = [grid(options={"work": work})[0].path for work in works]
    assert again == names
    with pytest.raises(ValueError, match="cannot be recognized when a sweep resumes"):
        grid(options={"work": partial(print, threading.Lock())})


def test_two_sweeps_do_not_share_a_folder(tmp_path: Path) -> None:
    """Neither at once in a loop, nor from two processes; and the next one may have it."""

    async def both() -> list[Any]:
        clip = open_clip(CALL, seconds=1)
        asked: dict[str, Any] = {"folder": tmp_path, "simulated": True, "progress": False}
        runs = [rtkit.sweep(clip, repeats=number, **asked) for number in (1, 2)]
        return await asyncio.gather(*runs, return_exceptions=True)

    table, refused = asyncio.run(both())
    assert len(table) == 2
    assert isinstance(refused, ValueError)
    assert "another sweep is running in" in str(refused)
    with pytest.raises(ValueError, match="another sweep"), alone(tmp_path / ".sweep.lock", ""):
        sweep(tmp_path)
    assert len(sweep(tmp_path, repeats=2)) == 4
    assert not [name for name in files(tmp_path) if name.startswith(".")]


def test_an_interrupted_sweep_keeps_what_was_done(tmp_path: Path, make_clip: MakeClip) -> None:
    clips, folder = [make_clip(0.2), make_clip(30.0)], tmp_path / "runs"

    async def interrupted() -> None:
        task = asyncio.create_task(
            rtkit.sweep(clips, pacings="wall_clock", folder=folder, max_concurrency=2)
        )
        await until(lambda: any(folder.glob("*.jsonl")))
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(interrupted())
    (done,) = files(folder)  # no table, no half session
    assert done.startswith("noise-0.2s")


def test_a_failure_is_recorded_and_does_not_end_the_sweep(
    tmp_path: Path, make_clip: MakeClip, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = make_clip(1.0), make_clip(2.0)
    whole = bad.path.read_bytes()
    bad.path.write_bytes(whole[:20000])
    folder = tmp_path / "runs"
    table = sweep(folder, [bad, good], pacings="wall_clock", repeats=2)
    assert table.ending.tolist() == ["failed", "failed", "complete", "complete"]
    assert (
        table.error.str.contains("ends .* samples too early").tolist() == [True] * 2 + [False] * 2
    )
    assert table.lateness_p50.isna().tolist() == [True] * 2 + [False] * 2
    told = capsys.readouterr().out
    assert "4 sessions: 0 already complete, 2 run now, 2 failed; call sweep again" in told
    assert "2 × " in told
    failed = rtkit.load_session(table.file[0])
    assert failed.ending.how == "failed"
    assert 0 < len(failed.chunks) < 20
    assert len(rtkit.load_session(folder)) == 2  # what failed does not pass for a session


def test_what_failed_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("rtkit.experiments.sweep.workers.simulate_plan", lambda *_: 1 / 0)
        table = sweep(tmp_path, pacings="wall_clock")
    assert table.error.tolist() == ["ZeroDivisionError: division by zero"]
    assert sweep(tmp_path, pacings="wall_clock").error.tolist() == [""]
    assert [name for name in files(tmp_path) if not name.endswith(".jsonl")] == ["sweep.parquet"]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"pacings": "walclock"}, "unknown pacing 'walclock'"),
        ({"chunks": 0.01}, "chunk"),
        ({"repeats": 0}, "repeats=0 leaves nothing to run"),
        ({"clips": []}, "the grid is empty"),
        ({"speed": 2}, "unknown sweep parameter 'speed'"),
        ({"phase": "middle"}, "unknown phase 'middle'"),
        ({"service": AssemblyAI(key="k")}, "simulated=True has its own service"),
        ({"service": AssemblyAI, "simulated": False}, "is not a service"),
        ({"max_concurrency": 0}, "max_concurrency=0 would never start a session"),
    ],
)
def test_what_cannot_be_is_refused_before_the_first(
    tmp_path: Path, asked: dict[str, Any], sentence: str
) -> None:
    with pytest.raises((ValueError, TypeError), match=sentence):
        sweep(tmp_path, **asked)
    assert files(tmp_path) == []


def test_a_bar_tells_how_many_are_done_and_how_long_it_takes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep(tmp_path, repeats=2)
    shown = capsys.readouterr()
    first, *_, last = shown.err.strip("\r").split("\r")
    assert first.startswith("0 of 4 sessions |")
    assert "4 of 4 sessions" in last
    assert "100%" in last
    assert "left" in last
    assert shown.out == "4 sessions: 0 already complete, 4 run now\n"
    sweep(tmp_path, repeats=3, progress=False)
    assert capsys.readouterr() == ("", "")


# Executors.


@pytest.mark.parametrize("workers", [1, 3])
def test_a_thread_pool_runs_it_too(tmp_path: Path, workers: int) -> None:
    alone = sweep(tmp_path / "alone", repeats=2)
    with ThreadPoolExecutor(workers) as pool:
        table = sweep(tmp_path / "pool", repeats=2, executor=pool)
    pd.testing.assert_frame_equal(table.drop(columns="file"), alone.drop(columns="file"))


def test_a_process_pool_that_breaks_ends_in_a_table_and_a_new_one_finishes_it(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clips = [make_clip(seconds) for seconds in (0.3, 0.4, 4.0)]
    asked: dict[str, Any] = {
        "pacings": "wall_clock",
        "folder": tmp_path / "runs",
        "service": rtkit.Loopback(delay=0.02),
    }

    async def killed() -> pd.DataFrame:
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            task = asyncio.create_task(rtkit.sweep(clips, executor=pool, seed=1, **asked))
            await until(lambda: any((tmp_path / "runs").glob(".noise-4s-*.part")))
            worker = next(pid for pid, line in children().items() if "spawn_main" in line)
            os.kill(worker, signal.SIGKILL)
            return await task

    table = asyncio.run(killed())
    assert table.error.str.startswith("The executor lost a worker").any()
    with nothing_remains():
        table = asyncio.run(rtkit.sweep(clips, **asked))
        asked["service"].close()
    assert table.error.tolist() == [""] * 3
    assert (table.service == "embedded, marks speech, delay 20 ms").all()


class Dropping(Executor):
    """Takes work and cancels it, as a cluster that is closed does."""

    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.cancel()
        return future


class Broken(Executor):
    def submit(self, *_: Any, **__: Any) -> Future[Any]:
        raise BrokenProcessPool("a worker died")


@pytest.mark.parametrize(
    ("executor", "sentence"),
    [(Dropping(), "The executor dropped the session"), (Broken(), "The executor lost a worker")],
)
def test_an_executor_that_gives_up_is_a_failure(
    tmp_path: Path, executor: Executor, sentence: str
) -> None:
    table = sweep(tmp_path, executor=executor)
    assert table.error.str.startswith(sentence).all()


@pytest.fixture
def dask_client() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=60,
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def test_a_dask_worker_that_is_killed_loses_nothing(
    tmp_path: Path, make_clip: MakeClip, dask_client: Any
) -> None:
    folder = tmp_path / "runs"
    clips = [make_clip(seconds) for seconds in (0.5, 0.6, 1.0, 1.2)]

    async def killed() -> tuple[pd.DataFrame, int]:
        with dask_client.get_executor() as executor:
            task = asyncio.create_task(rtkit.sweep(clips, executor=executor, folder=folder))
            await until(
                lambda: len(list(folder.glob("*.jsonl"))) > 1 and any(folder.glob(".*.part"))
            )
            done = len(list(folder.glob("*.jsonl")))
            (pid, *_) = dask_client.run(os.getpid).values()
            os.kill(pid, signal.SIGKILL)
            table = await task
            assert pid not in dask_client.run(os.getpid).values()
            return table, done

    table, done = asyncio.run(killed())
    assert 2 <= done < 8  # it was in the middle
    assert table.error.tolist() == [""] * 8
    assert (table.ending == "complete").all()
    assert Counter(path.suffix for path in folder.iterdir()) == {".jsonl": 8, ".parquet": 1}
    assert len(rtkit.load_session(folder)) == 8


def test_a_session_that_was_done_elsewhere_is_not_run_again(tmp_path: Path) -> None:
    class Twice(Executor):
        """Runs its work a second time, as a scheduler does that thought a worker dead."""

        def submit(self, work: Any, /, *args: Any, **_: Any) -> Future[Any]:
            future: Future[Any] = Future()
            with ThreadPoolExecutor(1) as pool:
                pool.submit(work, *args).result()
                (path,) = tmp_path.glob("*.jsonl")
                before = path.stat().st_mtime_ns
                future.set_result(pool.submit(work, *args).result())
                assert path.stat().st_mtime_ns == before
            return future

    table = sweep(tmp_path, pacings="wall_clock", executor=Twice())
    assert table.error.tolist() == [""]


def test_the_unit_of_work_is_picklable() -> None:
    assert pickle.loads(pickle.dumps(work)) is work
    service = rtkit.Loopback(delay=0.3, seed=4)
    copy = pickle.loads(pickle.dumps(service))
    assert copy.describe() == service.describe()
    assert copy.url is None


# Services that bill.


class Paid(AssemblyAI):
    """The embedded service under the name of one that bills."""

    async def connect_info(self, rate: int, reference: Any = None) -> Endpoint:
        return await LOOPBACK.connect_info(rate, reference)


LOOPBACK = rtkit.Loopback(delay=0.02)


@pytest.fixture
def paid() -> Iterator[Paid]:
    yield Paid(key="secretsecret")
    LOOPBACK.close()


def test_the_cost_is_stated_and_somebody_has_to_agree(
    tmp_path: Path, paid: Paid, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {"simulated": False, "service": paid, "repeats": 2}
    clip = make_clip(57.0)
    told: list[str] = []

    def refuse(prompt: str) -> str:
        told.append(prompt)
        return "n"

    with pytest.raises(RuntimeError, match=r"Nobody can be asked here; pass confirm=True"):
        sweep(tmp_path, clip, **asked)
    with pytest.raises(RuntimeError, match="was not started, as requested"):
        sweep(tmp_path, clip, confirm=told.append, **asked)
    assert "4 sessions" in told[0]
    assert "about 4.0 minutes of session time" in told[0]
    assert "universal-streaming-english" in told[0]
    monkeypatch.setattr("builtins.input", refuse)
    with pytest.raises(RuntimeError, match="as requested"):
        sweep(tmp_path, clip, **asked)
    assert told[1].endswith("Start? [y/N] ")
    monkeypatch.delenv("ASSEMBLYAI_API_KEY", raising=False)
    with pytest.raises(ValueError, match="needs an API key"):
        sweep(tmp_path, clip, simulated=False, service=AssemblyAI(), confirm=True)
    assert files(tmp_path) == [clip.path.name]


def test_each_service_that_bills_states_its_own_cost(
    tmp_path: Path, paid: Paid, make_clip: MakeClip
) -> None:
    told: list[str] = []
    both = {"A": paid, "D": rtkit.Deepgram(key="secretsecret"), "here": rtkit.Loopback()}
    with pytest.raises(RuntimeError, match="as requested"):
        sweep(tmp_path, make_clip(57.0), simulated=False, services=both, confirm=told.append)
    cost = "2 sessions will take about 2.0 minutes of session time in total, billed by"
    by_whom = [f"{cost} AssemblyAI (universal-streaming-english).", f"{cost} Deepgram (nova-3)."]
    assert told[0] in (" ".join(by_whom), " ".join(reversed(by_whom)))


def test_services_are_an_axis_of_the_grid(tmp_path: Path) -> None:
    clips = [open_clip(CALL, seconds=1.5, start=start) for start in (0.0, 3.0)]
    slow, quick = (
        rtkit.Loopback(protocol=protocol, delay=delay)
        for protocol, delay in (("soniox", 0.3), ("deepgram", 0.05))
    )
    how: dict[str, Any] = {"simulated": False, "pacings": "wall_clock", "folder": tmp_path}
    services = {"slow": slow, "quick": quick}
    try:
        table = asyncio.run(rtkit.sweep(clips, services=services, max_concurrency=4, **how))
    finally:
        for service in services.values():
            service.close()
    assert table.groupby(["service_name", "clip_start"]).size().tolist() == [1] * 4
    assert (table.error == "").all()
    found = rtkit.compare_paired(
        table,
        "word_service_time_p50",
        by="service_name",
        before="quick",
        after="slow",
        include_invalid=True,
    )
    assert found.mean.value > 0


@pytest.mark.parametrize(
    ("services", "words"),
    [
        ({"a": rtkit.Loopback(), "b": rtkit.Loopback()}, "services 'a' and 'b' are the same"),
        ({"a": rtkit.Loopback()}, "give service or services, not both"),
    ],
)
def test_services_that_cannot_be_told_apart(tmp_path: Path, services: Any, words: str) -> None:
    more = {"service": rtkit.Loopback()} if "both" in words else {}
    with pytest.raises(ValueError, match=words):
        sweep(tmp_path, simulated=False, services=services, **more)


def test_new_sessions_are_spaced_out(tmp_path: Path) -> None:
    """Exactly, in virtual time, however long each takes and however many may be open."""
    clip = open_clip(CALL, seconds=3)
    cells = make_grid([clip], [0.1], ["wall_clock"], repeats=7, folder=tmp_path)
    starts, took = [], iter([1.0, 1.0, 50.0, 1.0, 1.0, 1.0, 1.0])

    async def run(_: Any) -> str:
        starts.append(asyncio.get_running_loop().time())
        await asyncio.sleep(next(took))
        return ""

    virtually(run_all(cells, run, max_concurrency=2, spacing=12.0, progress=False))
    np.testing.assert_allclose(np.diff(starts), 12.0)
    starts.clear()
    took = iter([1.0, 1.0, 50.0, 1.0, 1.0, 1.0, 1.0])
    virtually(run_all(cells, run, max_concurrency=1, spacing=12.0, progress=False))
    np.testing.assert_allclose(np.diff(starts), [12, 12, 50, 12, 12, 12])


def test_a_paid_sweep_runs_and_keeps_no_key(
    tmp_path: Path, paid: Paid, make_clip: MakeClip
) -> None:
    asked: dict[str, Any] = {"simulated": False, "service": paid, "sessions_per_minute": 1000}
    table = sweep(tmp_path / "runs", make_clip(0.1), confirm=True, **asked)
    assert table.error.tolist() == ["", ""]
    assert (table.open_seconds > 0.1).all()
    for path in (tmp_path / "runs").iterdir():
        assert b"secretsecret" not in path.read_bytes()
    sweep(tmp_path / "runs", make_clip(0.1), **asked)  # nothing to pay for: nobody is asked


def test_five_a_minute_without_being_asked(
    tmp_path: Path, paid: Paid, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    async def ran(cells: Any, run: Any, **how: Any) -> dict[Path, str]:
        seen.update(how)
        return {cell.path: "not run" for cell in cells}

    monkeypatch.setattr("rtkit.experiments.sweep.sweep.run_all", ran)
    sweep(tmp_path, make_clip(0.1), simulated=False, service=paid, confirm=True)
    assert (seen["spacing"], seen["max_concurrency"]) == (12.0, 1)
    with pytest.raises(ValueError, match=r"give max_concurrency="):
        sweep(tmp_path, make_clip(0.1), simulated=False, service=paid, executor=Broken())
