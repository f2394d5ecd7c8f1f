"""`run` works in a script, in a cell, and in loops that cannot be nested."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import textwrap
import threading

import pytest

import rtkit


def printed(script: str, *, warned: bool = False) -> str:
    """What a script prints in a Python of its own, which reports what is left behind."""
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "never awaited" not in done.stderr
    assert warned or "Warning" not in done.stderr, done.stderr
    return done.stdout


BODY = """
import asyncio, threading
import rtkit

async def where():
    await asyncio.sleep(0.01)
    return threading.current_thread().name

async def main():
    before = asyncio.Task
    print(rtkit.run(where()), rtkit.run(where()))
    await asyncio.sleep(0)
    try:
        rtkit.run(broken())
    except ValueError as error:
        print(error)
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=0.5)
    print(rtkit.run(rtkit.stream(clip)).complete, asyncio.Task is before)

async def broken():
    raise ValueError("told")
"""


def test_in_a_script_it_runs_where_it_is() -> None:
    async def where() -> threading.Thread:
        return threading.current_thread()

    assert rtkit.run(where()) is threading.current_thread()


@pytest.mark.parametrize("what", [3, asyncio.sleep, None])
def test_what_is_no_coroutine_is_refused(what: object) -> None:
    with pytest.raises(TypeError, match=r"rtkit\.run takes a coroutine"):
        rtkit.run(what)  # type: ignore[arg-type]


def test_inside_uvloop_it_runs_in_a_thread_and_patches_nothing() -> None:
    pytest.importorskip("uvloop")
    said = printed(BODY + "\nimport uvloop\nuvloop.run(main())")
    assert said == "rtkit-run rtkit-run\ntold\nTrue True\n"


def test_where_nest_asyncio_has_patched_it_runs_in_a_thread() -> None:
    pytest.importorskip("nest_asyncio")
    start = """
async def patched():
    import nest_asyncio
    nest_asyncio.apply()
    await main()
    await asyncio.sleep(0.01)
    print("goes on")

asyncio.run(patched())
"""
    said = printed(BODY + start, warned=True)
    assert said == "rtkit-run rtkit-run\ntold\nTrue True\ngoes on\n"


def test_inside_asyncios_own_loop_it_nests() -> None:
    said = printed(BODY + "\nasyncio.run(main())", warned=True)
    assert said.splitlines()[:2] == ["MainThread MainThread", "told"]


def test_what_belongs_to_the_callers_loop_says_which_way_was_taken() -> None:
    pytest.importorskip("uvloop")
    script = """
import asyncio, rtkit, uvloop

async def main():
    lock = asyncio.Event()
    waiting = asyncio.ensure_future(lock.wait())
    await asyncio.sleep(0)
    async def use():
        await waiting
    try:
        rtkit.run(use())
    except RuntimeError as error:
        print(error.__notes__)
    waiting.cancel()

uvloop.run(main())
"""
    assert "a thread with a loop of its own, because uvloop's loop" in printed(script, warned=True)


def test_an_interrupt_ends_what_runs_in_the_thread() -> None:
    pytest.importorskip("uvloop")
    script = """
import asyncio, rtkit, signal, os, threading, uvloop

async def long():
    try:
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        print("cancelled")
        raise

async def main():
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        rtkit.run(long())
    except KeyboardInterrupt:
        print("interrupted", [t.name for t in threading.enumerate() if t.name == "rtkit-run"])

uvloop.run(main())
"""
    assert printed(script, warned=True) == "cancelled\ninterrupted []\n"
