"""rtkit in a real kernel, in cells sent as a person would send them."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from jupyter_client.manager import start_new_kernel

import rtkit

PATIENCE = 90.0  # seconds; only a failing test waits so long
SETUP = "import asyncio, rtkit; clip = rtkit.open_clip(rtkit.bundled()[0], seconds={seconds})"


@dataclass
class Cell:
    """What came of one cell."""

    printed: str = ""
    error: str = ""
    replies: list[dict[str, Any]] = field(default_factory=list)


class Kernel:
    """A kernel with a client, as a notebook's front end has it."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.manager, self.client = start_new_kernel(
            startup_timeout=PATIENCE,
            kernel_name="python3",
            cwd=str(folder),
            env={**os.environ, **environment},
        )

    def send(self, *codes: str) -> list[str]:
        """Send cells, all at once as Run All does, without waiting."""
        return [self.client.execute(code) for code in codes]

    def collect(self, cells: list[str]) -> list[Cell]:
        """Wait until all of these cells have run."""
        found = {cell: Cell() for cell in cells}
        running, unanswered = set(cells), set(cells)
        deadline = time.monotonic() + PATIENCE
        while running:
            message = self.client.get_iopub_msg(timeout=deadline - time.monotonic())
            cell = message["parent_header"].get("msg_id")
            if cell not in running:
                continue
            content = message["content"]
            match message["msg_type"]:
                case "stream":
                    found[cell].printed += content["text"]
                case "error":
                    found[cell].error = content["ename"]
                case "status" if content["execution_state"] == "idle":
                    running.discard(cell)
        while unanswered:
            reply = self.client.get_shell_msg(timeout=deadline - time.monotonic())
            cell = reply["parent_header"]["msg_id"]
            if cell in unanswered:
                unanswered.discard(cell)
                found[cell].replies.append(reply["content"])
        return list(found.values())

    def run(self, *codes: str) -> list[str]:
        """Run cells that must not fail, all sent at once; what each printed."""
        cells = self.collect(self.send(*codes))
        for code, cell in zip(codes, cells, strict=True):
            assert not cell.error, (code, cell)
            assert cell.replies[0]["status"] == "ok", (code, cell)
        return [cell.printed.strip() for cell in cells]

    def restart(self) -> None:
        self.manager.restart_kernel(now=True)
        self.client.wait_for_ready(timeout=PATIENCE)

    def close(self) -> None:
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kernel]:
    kernel = Kernel(tmp_path_factory.mktemp("kernel"))
    yield kernel
    kernel.close()


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[Kernel]:
    """A kernel that nothing has been done to yet."""
    kernel = Kernel(tmp_path)
    yield kernel
    kernel.close()


def until_sending(path: Path) -> None:
    """Wait until a session's file shows that audio is being sent."""
    deadline = time.monotonic() + PATIENCE
    while not (path.is_file() and '"kind": "chunk"' in path.read_text(encoding="utf-8")):
        assert time.monotonic() < deadline, f"no chunk was ever written to {path}"
        time.sleep(0.05)


def is_a_clean_stop(path: Path) -> None:
    session = rtkit.load_session(path)
    assert session.ending is not None
    assert session.ending.how == "stopped"
    assert session.terminated is not None
    assert '"Termination"' in session.messages[-1].text  # the service has heard it
    assert session.chunks
    assert session.chunks[-1].stop < session.settings.samples


UNTOUCHED = """
import asyncio, sys
classes = [asyncio.Task, asyncio.Future, *type(asyncio.get_running_loop()).__mro__[:-1]]
before = [dict(vars(asyncio)), *[dict(vars(kind)) for kind in classes]]
nested = "nest_asyncio2" in sys.modules
"""
COMPARED = """
after = [vars(asyncio), *[vars(kind) for kind in classes]]
print([name for old, new in zip(before, after) for name in old if new.get(name) is not old[name]])
print("nest_asyncio2" in sys.modules, asyncio.Task.__module__)
"""


def test_neither_import_nor_an_awaited_session_patches_asyncio(kernel: Kernel) -> None:
    cells = kernel.run(
        UNTOUCHED,
        SETUP.format(seconds=1),
        COMPARED,
        "session = await rtkit.stream(clip)",
        COMPARED,
        "print(session.complete)",
    )
    assert cells[2] == cells[4] == "[]\nFalse _asyncio"
    assert cells[5] == "True"


def test_the_synchronous_wrapper_works_in_a_cell_and_queued_cells_still_run(kernel: Kernel) -> None:
    first, second, *others = kernel.run(
        SETUP.format(seconds=1),
        "print(rtkit.run(rtkit.stream(clip)).complete)",
        "print(rtkit.run(rtkit.stream(clip, pacing='fixed_sleep')).complete)",
        "print((await rtkit.stream(clip)).complete)",
        "import time; time.sleep(0.1); print('sync')",
        "await asyncio.sleep(0.1); print('async')",
        "print('last')",
    )
    assert first == ""
    assert [second, *others] == ["True", "True", "True", "sync", "async", "last"]


def test_whoever_applied_the_old_nest_asyncio_loses_no_cell(kernel: Kernel) -> None:
    pytest.importorskip("nest_asyncio")
    first, *others = kernel.run(
        SETUP.format(seconds=0.5) + "\nimport nest_asyncio; nest_asyncio.apply()",
        "print(rtkit.run(rtkit.stream(clip)).complete)",
        "print(rtkit.run(rtkit.stream(clip, pacing='fixed_sleep')).complete)",
        "await asyncio.sleep(0.1); print('async')",
        "print('last')",
    )
    assert first == ""
    assert others == ["True", "True", "async", "last"]


@pytest.mark.parametrize(
    "call",
    [
        "await rtkit.stream(clip, record={path!r})",  # first, while nothing is patched
        "rtkit.run(rtkit.stream(clip, record={path!r}))",
    ],
    ids=["awaited", "in rtkit.run"],
)
def test_an_interrupt_stops_the_session_cleanly(shared: Kernel, tmp_path: Path, call: str) -> None:
    path = tmp_path / "session.jsonl"
    shared.run(SETUP.format(seconds=30))
    (cell,) = shared.send(call.format(path=str(path)))
    until_sending(path)
    shared.manager.interrupt_kernel()
    (interrupted,) = shared.collect([cell])
    assert interrupted.error in ("KeyboardInterrupt", "CancelledError")
    is_a_clean_stop(path)
    later = shared.run(
        "tasks = [task.get_name() for task in asyncio.all_tasks()]; "
        "print([name for name in tasks if name.startswith('rtkit')])",
        "clip = rtkit.open_clip(rtkit.bundled()[0], seconds=1)",
        "print((await rtkit.stream(clip)).complete, rtkit.run(rtkit.stream(clip)).complete)",
    )
    assert later == ["[]", "", "True True"]


def click(kernel: Kernel, button: str) -> None:
    """The way a click takes in a notebook: a comm message, not a call in a cell."""
    data = {"method": "custom", "content": {"event": "click"}}
    message = kernel.client.session.msg("comm_msg", {"comm_id": button, "data": data})
    kernel.client.shell_channel.send(message)


def test_the_panels_cell_run_again_finds_its_session_and_an_interrupt_stops_it(
    shared: Kernel, tmp_path: Path
) -> None:
    cell = f"panel = rtkit.panel(record={str(tmp_path)!r})\npanel"
    _, _, _, button = shared.run(
        "import asyncio, rtkit",
        cell,
        "panel.pacing.value, panel.seconds.value = 'wall_clock', 30; first = panel",
        "print(panel.run.model_id)",
    )
    click(shared, button)
    shared.run("while not panel.progress.value: await asyncio.sleep(0.05)")
    tasks = "[t for t in asyncio.all_tasks() if t.get_name() == 'rtkit-panel'] == [panel.task]"
    _, _, printed = shared.run(cell, cell, f"print(panel is first, {tasks}, panel.task.done())")
    assert printed == "True True False"
    time.sleep(0.3)  # no person is sooner: a cell's end puts back who heard interrupts before it
    shared.manager.interrupt_kernel()
    (printed,) = shared.run("await asyncio.wait({panel.task}); print(panel.status.value)")
    assert "Stopped; what was recorded is kept" in printed
    is_a_clean_stop(next(tmp_path.glob("*.jsonl")))
    _, printed = shared.run(cell, "print(panel is first, panel.seconds.value, panel.pacing.value)")
    assert printed == "False 30.0 wall_clock"  # a new one, with what was chosen


def test_a_button_runs_a_session(shared: Kernel, tmp_path: Path) -> None:
    comm, printed = shared.run(
        "import asyncio, rtkit",
        f"panel = rtkit.panel(record={str(tmp_path)!r})\n"
        "panel.pacing.value, panel.seconds.value = 'wall_clock', 1\n"
        "print(panel.run.model_id)",
    )
    assert comm == ""
    click(shared, printed)
    (outcome,) = shared.run(
        "while panel.task is None: await asyncio.sleep(0.02)\n"
        "await panel.task\n"
        "print(panel.error, panel.sessions['wall_clock'].complete)"
    )
    assert outcome == "None True"


def test_two_panels_at_once_keep_out_of_each_others_way(shared: Kernel, tmp_path: Path) -> None:
    paths = [tmp_path / name for name in ("a", "b")]
    printed = shared.run(
        "import asyncio, rtkit",
        *(f"{path.name} = rtkit.panel(record={str(path)!r}); print({path.name}.run.model_id)"
          for path in paths),
        "for one in (a, b): one.pacing.value, one.seconds.value = 'wall_clock', 0.5",
    )  # fmt: skip
    for button in printed[1:3]:
        click(shared, button)
    (outcome,) = shared.run(
        "while a.task is None or b.task is None: await asyncio.sleep(0.02)\n"
        "both = not (a.task.done() or b.task.done())\n"
        "await asyncio.gather(a.task, b.task)\n"
        "print(a is b, both, a.error, b.error, *[one.sessions['wall_clock'].complete "
        "for one in (a, b)])"
    )
    assert outcome == "False True None None True True"
    assert all(len(list(path.glob("*.jsonl"))) == 1 for path in paths)


def test_a_restarted_kernel_starts_over_and_development_mode_finds_nothing(tmp_path: Path) -> None:
    """Python's own: it tells of what is never awaited or closed, and checks asyncio's calls."""
    kernel = Kernel(tmp_path, PYTHONDEVMODE="1", PYTHONWARNINGS="default")
    cells = (
        SETUP.format(seconds=0.3),
        "print((await rtkit.stream(clip)).complete, rtkit.run(rtkit.stream(clip)).complete)",
        "panel = rtkit.panel()",
        "import gc, sys; del panel; gc.collect(); print(sys.flags.dev_mode)",
        "asyncio.sleep(0), 0; gc.collect();",  # so it would have been told
    )
    try:
        for again in (False, True):
            if again:
                kernel.restart()
            printed = kernel.run(*cells)
            assert printed[1].splitlines()[-1:] == ["True True"]
            assert printed[3] == "True"
            assert "never awaited" in printed.pop()
            told = [line for cell in printed for line in cell.splitlines() if "Warning" in line]
            assert not [line for line in told if "rtkit" in line], told
    finally:
        kernel.close()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("how", ["killed", "closed"])
def test_services_and_the_taps_relay_end_with_their_kernel(kernel: Kernel, how: str) -> None:
    """The panel waits for clients to watch, which takes a relay and an embedded service."""
    *_, button = kernel.run(
        "import asyncio, json, os, rtkit",
        "service = rtkit.Loopback(); await service.__aenter__();",
        "panel = rtkit.panel(); print(panel.watch.model_id)",
    )
    click(kernel, button)
    *_, printed = kernel.run(
        "while 'rt-address' not in panel.status.value: await asyncio.sleep(0.02)",
        "import re; from rtkit.boundary import children",
        "pids = [child.pid for child in children._started]\n"
        "urls = [service.url, re.search(r'ws:[^<]+', panel.status.value)[0]]\n"
        "print(json.dumps([os.getpid(), pids, urls]))",
    )
    pid, children, urls = json.loads(printed)
    ports = [urlsplit(url).port for url in urls]
    assert len(children) == 3
    assert all(map(is_open, ports))
    if how == "killed":
        os.kill(pid, signal.SIGKILL)
    else:
        kernel.client.stop_channels()
        kernel.manager.shutdown_kernel()
    deadline = time.monotonic() + PATIENCE
    while any(map(is_open, ports)) or any(map(is_running, children)):
        assert time.monotonic() < deadline, "what the kernel started outlives it"
        time.sleep(0.1)


def is_open(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def is_running(pid: int) -> bool:
    """Where the system tells; what has ended has no command line anymore, even if nobody waits."""
    with contextlib.suppress(OSError):
        return bool(Path(f"/proc/{pid}/cmdline").read_bytes())
    return False
