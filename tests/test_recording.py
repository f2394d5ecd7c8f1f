"""A file is whole or not there, is written by one, and an older one outlives what went wrong."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeClip, simulate, virtual_loop
from facts import call
from matplotlib.figure import Figure
from scripted import BEGIN, Scripted

import rtkit
from rtkit.audio import Clip
from rtkit.boundary.files import AsideFile, replacing
from rtkit.recording import StreamError, load_session
from rtkit.services.endpoint import Closed
from rtkit.session import Session

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

OLDER = "an older one"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# What replaces.


def test_what_is_written_takes_the_place_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.txt"
    for text in ("first", "second"):
        with replacing(path) as aside:
            aside.write_text(text)
        assert path.read_text() == text
    assert names(path.parent) == ["a.txt"]


def test_an_error_leaves_the_older_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(OLDER)

    def fails() -> None:
        with replacing(path) as aside:
            aside.write_text("half")
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert path.read_text() == OLDER
    assert names(tmp_path) == ["a.txt"]


def test_the_older_files_permissions_and_the_link_to_it_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    path.write_text(OLDER)
    path.chmod(0o600)
    link.symlink_to(path)
    with replacing(link) as aside:
        aside.write_text("new")
    assert link.is_symlink()
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(not Path("/dev/null").exists(), reason="There is no such device.")
def test_a_device_is_written_and_not_replaced() -> None:
    with replacing("/dev/null") as aside:
        aside.write_text("gone")
    assert not Path("/dev/null").is_file()
    file = AsideFile(Path("/dev/null"))
    file.write("gone")
    file.close(whole=True)
    assert not Path("/dev/null").is_file()


def unwritable(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("name", "save"),
    [
        ("a.jsonl", Session.save),
        ("a.html", rtkit.report),
        ("a.txt", rtkit.save_transcript),
        ("a.srt", rtkit.save_transcript),
        ("a.json", rtkit.save_transcript),
    ],
)
def test_a_full_disk_costs_no_older_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, save: Callable[..., object]
) -> None:
    session, path = call(5), tmp_path / name
    save(session, path)
    before = path.read_bytes()
    assert before
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", unwritable)
        patch.setattr(Path, "open", unwritable)
        with pytest.raises(OSError, match="No space left"):
            save(session, path)
    assert path.read_bytes() == before
    assert names(tmp_path) == [name]


def test_a_figure_that_cannot_be_written_costs_no_older_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure = Figure()
    rtkit.plot_lateness(call(3), ax=figure.subplots())
    svg, png = rtkit.save_figure(figure, tmp_path / "a")
    before = svg.read_bytes(), png.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(Figure, "savefig", unwritable)
        with pytest.raises(OSError, match="No space left"):
            rtkit.save_figure(figure, tmp_path / "a")
    assert (svg.read_bytes(), png.read_bytes()) == before
    assert names(tmp_path) == ["a.png", "a.svg"]


@pytest.mark.parametrize("letter", ["a", "ä"])
def test_a_name_may_be_as_long_as_names_can_be(tmp_path: Path, letter: str) -> None:
    stem = letter * (249 // len(letter.encode()))
    for number, text in enumerate(("first", "half", "second")):
        file = AsideFile(tmp_path / f"{stem}.jsonl")
        file.write(text)
        file.close(whole=number != 1)
    assert (tmp_path / f"{stem}.jsonl").read_text() == "second"
    (kept,) = set(names(tmp_path)) - {f"{stem}.jsonl"}
    assert (tmp_path / kept).read_text() == "half"
    assert kept.endswith("-2.jsonl")


# What is recorded.


async def streamed(clip: Clip, path: Path, *timeline: Any, **how: Any) -> Session:
    service = Scripted([(virtual_loop().time() + at, told) for at, told in timeline])
    return await rtkit.stream(clip, connection=service, record=path, **how)


WELL = (0.0, BEGIN)
BROKEN = (0.55, Closed(None))


def test_a_recording_has_its_name_from_when_it_has_begun(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    seen: list[list[str]] = []

    def on_event(_: object) -> None:
        files_there = names(path.parent)
        if not seen or seen[-1] != files_there:
            seen.append(files_there)

    async def run() -> Session:
        asyncio.get_running_loop().call_later(0.25, time.sleep, 0.8)  # in which it is written
        return await streamed(make_clip(0.5), path, WELL, on_event=on_event)

    session = simulate(run())
    assert seen[0] == [".a.jsonl.part"]
    assert seen[-1] == ["a.jsonl"]
    assert load_session(path) == session


@pytest.mark.parametrize(
    ("timeline", "kept"),
    [
        pytest.param([WELL, BROKEN], ["a-2.jsonl", "a.jsonl"], id="breaks off"),
        pytest.param([(0.1, Closed(None))], ["a.jsonl"], id="never begins"),
    ],
)
def test_an_older_recording_outlives_one_that_fails(
    make_clip: MakeClip, tmp_path: Path, timeline: list[Any], kept: list[str]
) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    older = simulate(streamed(make_clip(0.5), path, WELL))
    with pytest.raises(StreamError) as caught:
        simulate(streamed(make_clip(1.0), path, *timeline))
    assert load_session(path) == older
    assert names(path.parent) == kept
    for name in set(kept) - {"a.jsonl"}:
        assert load_session(path.with_name(name)) == caught.value.session


def test_one_that_is_stopped_says_where_it_is_kept_and_costs_no_older_one(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    older = simulate(streamed(make_clip(0.5), path, WELL))

    async def stopped() -> list[str]:
        task = asyncio.create_task(streamed(make_clip(9.0), path, WELL))
        await asyncio.sleep(1.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__notes__

    for number in (2, 3):
        (note,) = simulate(stopped())
        assert str(path.with_name(f"a-{number}.jsonl")) in note
        assert len(load_session(path.with_name(f"a-{number}.jsonl")).chunks) == 10
    assert load_session(path) == older


def test_a_whole_one_replaces_an_older_one(make_clip: MakeClip, tmp_path: Path) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    simulate(streamed(make_clip(0.5), path, WELL))
    newer = simulate(streamed(make_clip(1.0), path, WELL))
    assert load_session(path) == newer
    assert names(path.parent) == ["a.jsonl"]


@pytest.mark.skipif(fcntl is None, reason="There are no locks.")
@pytest.mark.parametrize("older", [False, True])
def test_two_senders_on_one_path_are_told(make_clip: MakeClip, tmp_path: Path, older: bool) -> None:
    path = tmp_path / "runs" / "a.jsonl"
    if older:
        simulate(streamed(make_clip(0.5), path, WELL))

    async def both() -> Session:
        first = asyncio.create_task(streamed(make_clip(2.0), path, WELL))
        for _ in range(3):
            await asyncio.sleep(0.5)
            with pytest.raises(ValueError, match=r"a\.jsonl is being written by another session"):
                await streamed(make_clip(1.0), path, WELL)
        return await first

    first = simulate(both())
    assert load_session(path) == first
    assert names(path.parent) == ["a.jsonl"]
    assert simulate(streamed(make_clip(1.0), path, WELL)) == load_session(path)


HOLDER = """
import sys
from pathlib import Path
from rtkit.boundary.files import AsideFile
file = AsideFile(Path(sys.argv[1]))
file.write("what a killed session has written\\n")
if sys.argv[2] == "named":
    file.take_name()
print("holds", flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(fcntl is None, reason="There are no locks.")
@pytest.mark.parametrize("state", ["named", "aside"])
def test_another_process_is_kept_out_until_it_is_killed_and_what_it_wrote_is_kept(
    tmp_path: Path, state: str
) -> None:
    path = tmp_path / "a.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, path, state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "holds\n"
        with pytest.raises(ValueError, match="is being written"):
            AsideFile(path)
        holder.kill()
    file = AsideFile(path)
    file.write("a whole one\n")
    file.close(whole=state == "aside")
    kept = {"a.jsonl": "a whole one\n", "a-2.jsonl": "what a killed session has written\n"}
    if state == "named":
        kept = dict(zip(kept, reversed(kept.values()), strict=True))
    assert {name: (tmp_path / name).read_text() for name in names(tmp_path)} == kept


@pytest.mark.parametrize("older", [False, True])
def test_a_file_that_another_program_changes_is_not_called_whole(
    tmp_path: Path, older: bool
) -> None:
    path = tmp_path / "a.jsonl"
    for junk in ("x\n", "one\njunk\n"):
        if older:
            path.write_text(OLDER)
        file = AsideFile(path)
        file.write("one\n")
        file.take_name()
        (tmp_path / ".a.jsonl.part" if older else path).write_text(junk)
        file.write("two\n")
        with pytest.raises(OSError, match="another program changed it"):
            file.close(whole=True)
        assert path.read_text() == OLDER if older else path.exists()
        path.unlink()


def test_a_file_that_has_gone_is_told_and_the_session_is_whole(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    work = removing(folder)
    with pytest.raises(StreamError, match=r"file could not be written \(No such file") as caught:
        simulate(streamed(make_clip(1.0), folder / "a.jsonl", WELL, work=work))
    assert caught.value.session.complete
    assert len(caught.value.session.chunks) == 10


def removing(folder: Path) -> Callable[[bytes], None]:
    """Work that removes the folder, with all that is in it, in the middle of the session."""
    sent = 0

    def work(_: bytes) -> None:
        nonlocal sent
        sent += 1
        if sent == 5:
            while folder.exists():  # the file may just be taking its name
                shutil.rmtree(folder, ignore_errors=True)

    return work


def test_a_disk_that_fails_beside_what_failed_before_hides_neither(
    make_clip: MakeClip, tmp_path: Path
) -> None:
    folder = tmp_path / "runs"
    timeline = (WELL, (0.75, Closed(3008)))
    with pytest.raises(StreamError, match="maximum duration") as caught:
        simulate(streamed(make_clip(1.0), folder / "a.jsonl", *timeline, work=removing(folder)))
    assert "file could not be written (No such file" in str(caught.value)
    assert len(caught.value.session.chunks) == 7


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("a\0b.jsonl", "is not a file name"),
        ("a/" * 3000, "is not a file name"),
        ("pipe", "No such"),
    ],
)
def test_what_cannot_be_written_holds_up_nobody(
    make_clip: MakeClip, tmp_path: Path, name: str, sentence: str
) -> None:
    """Opening a pipe that nobody reads would wait for ever, and Stop with it."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises((ValueError, OSError), match=sentence):
        simulate(rtkit.stream(make_clip(0.2), connection=Scripted([]), record=tmp_path / name))
    with pytest.raises(ValueError, match="is not a file"):
        load_session(tmp_path / "pipe")
