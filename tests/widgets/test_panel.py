"""The panel without a browser: widgets set in code, real sessions with the embedded service."""

# ruff: noqa: ASYNC110, ASYNC240 - scenarios poll what a person would see, and look at files
from __future__ import annotations

import asyncio
import base64
import html
import json
import os
import re
import socket
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import ipywidgets
import numpy as np
import pytest
import soundfile
from facts import session as facts_session

import rtkit
from rtkit.loopback.process import embedded
from rtkit.services.assemblyai.client import KEY_VARIABLE, AssemblyAI
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Turn, Word
from rtkit.session import Chunk, Message
from rtkit.widgets import live_box, results_box
from rtkit.widgets.live import COLUMNS, Watched
from rtkit.widgets.panel import Panel

T = TypeVar("T")
KEY = "0123456789abcdef-a-key"
PATIENCE = 60.0  # seconds; only a failing test waits so long


@pytest.fixture(autouse=True)
def _no_widget_outlives_its_test() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


@pytest.fixture(autouse=True)
def _no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KEY_VARIABLE, raising=False)


@pytest.fixture
def drawn() -> None:
    """Asks for true figures; they take a second each, so that other tests go without."""


@pytest.fixture(autouse=True)
def _without_figures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "drawn" not in request.fixturenames:
        monkeypatch.setattr(results_box, "draw", lambda sessions: "not drawn")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    return tmp_path / "runs"


def as_in_a_notebook(scenario: Coroutine[Any, Any, T]) -> T:
    """Run in an event loop, and see that no task outlives the scenario."""

    async def alone() -> T:
        result = await asyncio.wait_for(scenario, 2 * PATIENCE)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        return result

    return asyncio.run(alone())


def a_panel(runs: Path, *, pacing: str = "wall_clock", seconds: float = 1.0) -> Panel:
    panel = rtkit.panel(record=runs)
    panel.pacing.value = pacing
    panel.seconds.value = seconds
    return panel


async def begin(panel: Panel) -> asyncio.Task[None]:
    """Press Run; the session's task."""
    panel.run.click()
    await asyncio.sleep(0)
    assert panel.task is not None
    return panel.task


async def finish(panel: Panel) -> None:
    """Press Run and wait until the panel is done."""
    await asyncio.wait_for(await begin(panel), PATIENCE)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():
            await asyncio.sleep(0.02)


def said(panel: Panel) -> str:
    """What the status line shows."""
    return html.unescape(re.sub(r"<[^>]*>", "", panel.status.value))


def pictures(panel: Panel) -> list[bytes]:
    """What the four images of the figure hold."""
    contents = re.findall(
        r'<img class="rt-drawn" alt="[^"]+" style="" src="data:image/png;base64,([^"]+)"',
        panel.figure.value,
    )
    assert len(contents) == 4
    return [base64.b64decode(content) for content in contents]


def alerts(panel: Panel) -> bool:
    return 'role="alert"' in panel.status.value


def ready(panel: Panel) -> bool:
    return not panel.run.disabled and bool(panel.stop.disabled)


def families(widget: ipywidgets.Widget) -> Iterator[ipywidgets.Widget]:
    """A widget and all that it holds."""
    yield widget
    for child in getattr(widget, "children", ()):
        yield from families(child)


def state(panel: Panel) -> str:
    """All that a front end, and so a saved notebook, gets to know of the panel."""
    states = [widget.get_state() for widget in families(panel)]
    assert len(states) > 20
    return repr(states)


def upload(name: str, content: bytes) -> dict[str, Any]:
    """A file as a browser hands it over."""
    return {
        "name": name,
        "type": "",
        "size": len(content),
        "content": memoryview(content),
        "last_modified": datetime.now(UTC),
    }


def recording(path: Path, seconds: float = 1.0) -> Path:
    noise = np.random.default_rng(0).integers(-30, 30, round(seconds * 8000), dtype=np.int16)
    soundfile.write(path, noise, 8000, subtype="PCM_16")
    return path


# A session from choosing to reading.


@pytest.mark.usefixtures("drawn")
def test_a_comparison_gives_sessions_figures_and_files(runs: Path) -> None:
    async def scenario() -> None:
        panel = rtkit.panel(record=runs)
        panel.seconds.value = 3
        assert panel.pacing.value == "compare"
        assert panel.figure.layout.display == "none"
        await finish(panel)

        assert panel.error is None
        assert list(panel.sessions) == ["fixed_sleep", "wall_clock"]
        naive, paced = panel.sessions.values()
        assert naive.complete
        assert paced.complete
        assert naive.settings.samples == paced.settings.samples
        assert paced.zero > naive.zero + naive.sent[-1]  # in turn, not at once
        assert paced.transcript.startswith("good morning this is the public library")

        assert ready(panel)
        assert panel.progress.value == 1
        assert panel.progress.bar_style == "success"
        assert said(panel).startswith("Done: fixed sleep ended ")
        assert "wall clock ended" in said(panel)
        assert not alerts(panel)
        assert all(picture.startswith(b"\x89PNG") for picture in pictures(panel))
        assert "library_call.wav, 3 s in chunks of 100 ms" in panel.figure.value
        assert panel.figure.layout.display == "block"
        for heading in ("fixed_sleep", "wall_clock", "drift, ms per s of audio"):
            assert heading in panel.table.value
        shown = panel.timeline.data["sessions"]
        assert [one["name"] for one in shown] == ["fixed sleep", "wall clock"]
        assert "public library" in " ".join(word["text"] for word in shown[1]["words"])

        files = sorted(runs.iterdir())
        assert [file.name.rpartition("ms_")[2] for file in files] == [
            "fixed_sleep.jsonl",
            "wall_clock.jsonl",
        ]
        for file, session in zip(files, panel.sessions.values(), strict=True):
            assert str(file) in panel.saved.value
            assert rtkit.load_session(file).chunks == session.chunks

    as_in_a_notebook(scenario())


def test_what_is_chosen_reaches_the_session(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, pacing="fixed_sleep", seconds=0.6)
        panel.start.value = 0.4
        panel.chunk.value = 130
        panel.work.value = 7
        await finish(panel)
        (session,) = panel.sessions.values()
        settings = session.settings
        assert settings.pacing == "fixed_sleep"
        assert settings.chunk == 0.13
        assert settings.work == 0.007
        assert settings.first == round(0.4 * settings.rate)
        assert settings.seconds == pytest.approx(0.6)

    as_in_a_notebook(scenario())


def test_a_length_of_0_takes_the_whole_recording(runs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, seconds=0)
        panel.folder.value = str(recording(tmp_path / "short.wav", 0.75).parent)
        panel.file.value = str(tmp_path / "short.wav")
        await finish(panel)
        assert panel.sessions["wall_clock"].settings.samples == 6000

    as_in_a_notebook(scenario())


def test_chunk_and_presets_follow_each_other(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        panel.presets.value = 50
        assert panel.chunk.value == 50
        panel.chunk.value = 200
        assert panel.presets.value == 200
        panel.chunk.value = 130
        assert panel.presets.value is None
        assert panel.chunk.value == 130
        panel.chunk.value = 20  # under the service's least
        assert panel.chunk.value == 50
        assert panel.presets.value == 50

    as_in_a_notebook(scenario())


def test_without_a_trace_nothing_is_traced(runs: Path) -> None:
    async def scenario() -> None:
        panel = rtkit.panel(record=runs, trace=False)
        panel.pacing.value, panel.seconds.value = "wall_clock", 1
        shown: list[object] = []
        panel.timeline.observe(lambda change: shown.append(change["new"]), "data")
        await finish(panel)
        assert len(shown) == 1  # in the end
        assert panel.progress.value == 1

    as_in_a_notebook(scenario())


def test_what_arrives_early_is_said_to_be_early_and_blamed_on_nobody(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, pacing="unpaced", seconds=1)
        await finish(panel)
        assert re.fullmatch(r"Done: unpaced ended [0-9]+ ms early\.", said(panel))

    as_in_a_notebook(scenario())


def test_a_long_session_is_watched_in_bounded_space_and_no_spike_is_lost() -> None:
    chunks, step = 72_000, 0.05
    late = [0.001 + 0.0001 * (index % 7) for index in range(chunks)]
    late[31_007], late[40_003] = 0.5, -0.2
    watched = Watched(chunks * step, asyncio.Event())
    for index in range(chunks):
        due = (index + 1) * step
        watched.see(Chunk(index, index, index + 1, due, due + late[index], due, 2))
    audio, lateness = watched.line()
    assert len(audio) == len(lateness) <= 2 * COLUMNS + chunks / COLUMNS
    assert audio == sorted(audio)
    assert audio[-1] == pytest.approx(chunks * step)
    assert max(lateness) == pytest.approx(0.5)
    assert min(lateness) == pytest.approx(-0.2)
    assert audio[lateness.index(max(lateness))] == pytest.approx(31_008 * step)


def test_a_turn_that_does_not_end_pushes_nothing_off_the_page() -> None:
    watched = Watched(60.0, asyncio.Event())
    spoken = [f"word{number}" for number in range(1000)]
    turn = Turn(0, "", tuple(Word(text, 0.0, 1.0, 1.0, True) for text in spoken), False)
    watched.see(Message(1.0, "", (turn,)))
    (line,) = watched.lines()
    assert line.startswith("<i>… word")
    assert line.endswith("word999 …</i>")
    assert len(line) < 450


def test_a_folders_recordings_are_offered_before_the_bundled_ones(
    runs: Path, tmp_path: Path
) -> None:
    recording(tmp_path / "b.wav")
    recording(tmp_path / "a.FLAC")
    (tmp_path / "notes.txt").write_text("no recording")

    async def scenario() -> None:
        panel = a_panel(runs)
        bundled = [label for label, _ in panel.file.options]
        panel.folder.value = str(tmp_path)
        assert [label for label, _ in panel.file.options] == ["a.FLAC", "b.wav", *bundled]
        panel.folder.value = ""
        assert [label for label, _ in panel.file.options] == bundled

    as_in_a_notebook(scenario())


# Stopping, and running again.


@pytest.mark.usefixtures("drawn")
def test_stop_keeps_what_was_recorded(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, pacing="compare", seconds=30)
        task = await begin(panel)
        await until(lambda: panel.progress.value > 0)
        assert panel.run.disabled
        assert not panel.stop.disabled
        panel.stop.click()
        await asyncio.wait_for(task, PATIENCE)

        assert said(panel).startswith("Stopped; what was recorded is kept: fixed sleep ended")
        assert not alerts(panel)
        assert panel.error is None
        assert panel.progress.bar_style == "warning"
        assert ready(panel)
        assert list(panel.sessions) == ["fixed_sleep"]  # the second one is not begun
        session = panel.sessions["fixed_sleep"]
        assert 0 < len(session.chunks) < 300
        assert panel.figure.layout.display == "block"
        (file,) = runs.iterdir()
        assert str(file) in panel.saved.value
        loaded = rtkit.load_session(file)
        assert loaded.ending is not None
        assert loaded.ending.how == "stopped"
        assert loaded.terminated is not None
        assert loaded.chunks == session.chunks

        panel.pacing.value, panel.seconds.value = "wall_clock", 1
        await finish(panel)
        assert said(panel).startswith("Done")
        assert list(panel.sessions) == ["wall_clock"]

    as_in_a_notebook(scenario())


def test_stop_before_anything_is_sent_says_so(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        task = await begin(panel)
        panel.stop.click()
        await asyncio.wait_for(task, PATIENCE)
        assert said(panel) == "Stopped before anything was sent."
        assert panel.figure.layout.display == "none"
        assert ready(panel)

    as_in_a_notebook(scenario())


def test_stop_without_a_session_does_nothing(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        panel.stop.click()
        await asyncio.sleep(0.01)
        assert panel.task is None
        assert ready(panel)

    as_in_a_notebook(scenario())


def test_run_twice_is_one_session(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        first = await begin(panel)
        panel.run.click()
        await asyncio.sleep(0)
        assert panel.task is first
        assert said(panel) == "A session is running. Stop it before the next one."
        await asyncio.wait_for(first, PATIENCE)
        assert len(list(runs.iterdir())) == 1

    as_in_a_notebook(scenario())


def test_a_new_panel_stops_the_old_ones_session(runs: Path) -> None:
    async def scenario() -> None:
        old = a_panel(runs, seconds=30)
        task = await begin(old)
        await until(lambda: old.progress.value > 0)
        new = a_panel(runs / "new")
        await asyncio.wait_for(task, PATIENCE)
        ending = old.sessions["wall_clock"].ending
        assert ending is not None
        assert ending.how == "stopped"
        await finish(new)
        assert new.sessions["wall_clock"].complete

    as_in_a_notebook(scenario())


def test_two_panels_never_send_at_once(runs: Path) -> None:
    async def scenario() -> None:
        one, other = a_panel(runs), a_panel(runs / "other")
        first = await begin(one)
        second = await begin(other)
        await asyncio.sleep(0)
        assert said(other) == "Waiting until another panel's session has ended …"
        await asyncio.wait_for(asyncio.gather(first, second), PATIENCE)
        earlier, later = one.sessions["wall_clock"], other.sessions["wall_clock"]
        assert later.zero > earlier.zero + earlier.sent[-1]

    as_in_a_notebook(scenario())


def test_close_ends_the_session(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        task = await begin(panel)
        await until(lambda: panel.progress.value > 0)
        panel.close()
        await asyncio.wait_for(task, PATIENCE)
        (file,) = runs.iterdir()
        ending = rtkit.load_session(file).ending
        assert ending is not None
        assert ending.how == "stopped"

    as_in_a_notebook(scenario())


def test_buttons_work_from_another_thread(runs: Path) -> None:
    """As in ipykernel 7.1 to 7.3, where a subshell's thread runs the callbacks."""

    async def scenario() -> None:
        asyncio.get_running_loop().set_debug(True)  # refuses calls that are not safe from threads
        panel = a_panel(runs, seconds=30)
        await asyncio.to_thread(panel.run.click)
        await until(lambda: panel.progress.value > 0)
        assert panel.task is not None
        await asyncio.to_thread(panel.stop.click)
        await asyncio.wait_for(panel.task, PATIENCE)
        assert said(panel).startswith("Stopped")
        assert panel.sessions["wall_clock"].chunks

    as_in_a_notebook(scenario())


def test_a_panel_outside_a_notebook_says_what_to_do() -> None:
    with pytest.raises(RuntimeError, match=r"needs a notebook.*rtkit\.run\(rtkit\.compare"):
        rtkit.panel()


# Sessions saved before, beside today's; and hearing them.


async def press(panel: Panel, button: ipywidgets.Button) -> None:
    """Press a button that starts a job, and wait until the panel is done."""
    button.click()
    await asyncio.sleep(0)
    assert panel.task is not None
    await asyncio.wait_for(panel.task, PATIENCE)


def kept(runs: Path, name: str, started: str, **options: Any) -> rtkit.Session:
    """A session as yesterday left it."""
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=2)
    session = replace(rtkit.simulate(clip, **options), started=started)
    session.save(runs / name)
    return session


def test_yesterdays_sessions_are_compared_with_todays(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(results_box, "draw", " and ".join)
    yesterday = kept(
        runs,
        "2026-11-24_09-30-00_library_call_100ms_fixed_sleep.jsonl",
        "2026-11-24T09:30:00+00:00",
        pacing="fixed_sleep",
        work=0.01,
    )

    async def scenario() -> None:
        panel = a_panel(runs)
        when = f"{datetime(2026, 11, 24, 9, 30, tzinfo=UTC).astimezone():%d %b %H:%M}"
        assert panel.earlier.file.options == (
            (f"{when}:00 fixed sleep, 100 ms, library_call", panel.earlier.file.value),
        )
        assert panel.earlier.remove.disabled
        await press(panel, panel.earlier.add)
        name = f"fixed_sleep, {when}"
        assert said(panel) == f"Added: fixed sleep, {when}, of library_call.wav."
        assert panel.added[name].chunks == yesterday.chunks
        assert name in panel.table.value  # before anything was measured today
        assert panel.figure.value == name

        await finish(panel)
        assert list(panel.sessions) == ["wall_clock"]
        for shown in ("wall_clock", name):
            assert shown in panel.table.value
        assert panel.figure.value == f"wall_clock and {name}"
        assert len(panel.earlier.file.options) == 2  # today's can be added tomorrow

        await press(panel, panel.earlier.add)
        assert list(panel.added) == [name, f"{name} (2)"]
        await press(panel, panel.earlier.remove)
        assert panel.added == {}
        assert name not in panel.table.value
        assert "wall_clock" in panel.table.value
        assert panel.earlier.remove.disabled

    as_in_a_notebook(scenario())


def test_a_saved_session_is_called_what_its_first_line_says(runs: Path) -> None:
    """And not what its file is called."""
    for name in ("renamed.jsonl", "2026-11-24_09-30-00_other_50ms_unpaced.jsonl"):
        kept(runs, name, "2026-11-24T09:30:00+00:00", pacing="wall_clock", chunk=0.2)
    kept(runs, "timeless.jsonl", "", pacing="wall_clock")

    async def scenario() -> None:
        titles = [title for title, _ in a_panel(runs).earlier.file.options]
        assert sorted(title.partition("wall clock, ")[2] for title in titles) == [
            "100 ms, library_call",
            "200 ms, library_call",
            "200 ms, library_call",
        ]
        assert (
            "wall clock, 100 ms, library_call" in titles
        )  # it has no date, and stands all the same

    as_in_a_notebook(scenario())


def test_without_saved_sessions_there_is_nothing_to_add(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        assert panel.earlier.file.options == ((f"none in {runs} yet", ""),)
        assert panel.earlier.file.label == f"none in {runs} yet"
        assert panel.earlier.add.disabled
        await finish(panel)
        assert not panel.earlier.add.disabled

    as_in_a_notebook(scenario())


def test_a_file_that_is_no_session_is_said(runs: Path) -> None:
    runs.mkdir()
    (runs / "shopping.jsonl").write_text('{"milk": 2}\n')
    (runs / ".ipynb_checkpoints").mkdir()
    (runs / ".ipynb_checkpoints" / "copy.jsonl").write_text("")

    async def scenario() -> None:
        panel = a_panel(runs)
        assert [title for title, _ in panel.earlier.file.options] == ["shopping"]
        await press(panel, panel.earlier.add)
        assert re.search(r"shopping\.jsonl is not a session that rtkit recorded", said(panel))
        assert alerts(panel)
        assert panel.added == {}
        assert ready(panel)

    as_in_a_notebook(scenario())


def test_while_a_session_runs_nothing_else_begins(runs: Path) -> None:
    kept(runs, "a.jsonl", "2026-11-24T09:30:00+00:00")

    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        task = await begin(panel)
        await until(lambda: panel.progress.value > 0)
        for button in (panel.hear, panel.earlier.add, panel.earlier.remove, panel.calibrate):
            assert button.disabled
        panel.stop.click()
        await asyncio.wait_for(task, PATIENCE)
        assert not panel.hear.disabled

    as_in_a_notebook(scenario())


def test_what_is_chosen_is_heard_with_the_sessions_of_it(runs: Path, tmp_path: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        await press(panel, panel.hear)
        assert panel.timeline.data["audio"].startswith("data:audio/")
        assert panel.timeline.data["sessions"][0]["chunks"] == []
        await finish(panel)
        assert "audio" not in panel.timeline.data
        await press(panel, panel.hear)
        assert panel.timeline.data["audio"].startswith("data:audio/")
        assert len(panel.timeline.data["sessions"][0]["chunks"]) == len(
            panel.sessions["wall_clock"].chunks
        )
        panel.folder.value = str(recording(tmp_path / "noise.wav").parent)
        panel.file.value = str(tmp_path / "noise.wav")
        await press(panel, panel.hear)
        assert "noise.wav" in panel.timeline.data["title"]
        assert panel.timeline.data["sessions"] == []

    as_in_a_notebook(scenario())


def test_what_is_too_long_to_hear_is_said(runs: Path, tmp_path: Path) -> None:
    recording(tmp_path / "long.wav", 601)

    async def scenario() -> None:
        panel = a_panel(runs, seconds=0)
        panel.folder.value = str(tmp_path)
        panel.file.value = str(tmp_path / "long.wav")
        await press(panel, panel.hear)
        assert re.search(r"long\.wav: 601 s at 8000 Hz are too much sound", said(panel))
        assert alerts(panel)
        assert panel.timeline.data == {}

    as_in_a_notebook(scenario())


def test_calibrating_counts_down(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rtkit.widgets.panel.calibrate", partial(rtkit.calibrate, seconds=1))
    counted = []

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.status.observe(lambda _: counted.append(said(panel)), "value")
        panel.progress.observe(lambda change: counted.append(change["new"]), "value")
        await press(panel, panel.calibrate)
        assert panel.error is None
        assert "service times hold +" in said(panel)

    as_in_a_notebook(scenario())
    left = [int(one.split()[2]) for one in counted if isinstance(one, str) and "s left" in one]
    assert len(left) >= 2
    assert left == sorted(left, reverse=True)
    shares = [one for one in counted if isinstance(one, float)]
    assert shares[:-1] == sorted(shares[:-1])


def test_whatever_can_be_chosen_says_what_it_is(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        kinds = (ipywidgets.Button, ipywidgets.Dropdown, ipywidgets.Text, ipywidgets.FileUpload)
        numbers = (ipywidgets.BoundedFloatText, ipywidgets.BoundedIntText)
        found = [one for one in families(panel) if isinstance(one, kinds + numbers)]
        assert len(found) >= 19
        for widget in found:
            assert widget.description
            assert widget.tooltip, widget.description
            assert widget.tabbable is not False
        assert all(panel.presets.tooltips)

    as_in_a_notebook(scenario())


# What goes wrong is said in the panel.


async def sees(panel: Panel, error: type[BaseException], sentence: str) -> None:
    """Press Run; the panel says one sentence of what is wrong and can run again."""
    await finish(panel)
    assert isinstance(panel.error, error)
    assert re.search(sentence, said(panel)), said(panel)
    assert alerts(panel)
    assert panel.progress.bar_style == "danger"
    assert ready(panel)


def test_a_bad_recording_is_said(runs: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.wav").write_bytes(b"this is no audio")

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.folder.value = str(tmp_path)
        panel.file.value = str(tmp_path / "bad.wav")
        await sees(panel, rtkit.AudioError, r"bad\.wav cannot be read as audio")
        assert not runs.exists()
        panel.file.value = str(rtkit.bundled()[0])
        await finish(panel)
        assert panel.error is None
        assert not alerts(panel)

    as_in_a_notebook(scenario())


def test_a_recording_that_vanished_is_said(runs: Path, tmp_path: Path) -> None:
    path = recording(tmp_path / "gone.wav")

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.folder.value = str(tmp_path)
        panel.file.value = str(path)
        path.unlink()
        await sees(panel, rtkit.AudioError, r"There is no file .*gone\.wav")

    as_in_a_notebook(scenario())


@pytest.mark.parametrize("folder", ["nowhere", "~nobody-of-this-name/audio"])
def test_a_missing_folder_is_said(runs: Path, tmp_path: Path, folder: str) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        named = folder if folder.startswith("~") else str(tmp_path / folder)
        panel.folder.value = named
        assert alerts(panel)
        assert said(panel).startswith(f"The folder {named} cannot be read")
        assert isinstance(panel.error, rtkit.AudioError)
        assert panel.file.value == str(rtkit.bundled()[0])
        assert ready(panel)
        panel.folder.value = str(tmp_path)
        assert not alerts(panel)

    as_in_a_notebook(scenario())


def test_a_folder_for_the_files_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file, no folder")

    async def scenario() -> None:
        await sees(a_panel(tmp_path / "taken"), OSError, "taken")

    as_in_a_notebook(scenario())


def test_no_key_is_said_before_anything_is_sent(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        assert panel.key.layout.display == "none"
        panel.service.value = "assemblyai"
        assert panel.key.layout.display == "flex"
        await sees(panel, ValueError, f"needs an API key.*{KEY_VARIABLE}")
        assert not runs.exists()

    as_in_a_notebook(scenario())


def test_a_service_out_of_reach_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nobody_listens(self: AssemblyAI, rate: int, reference: object = None) -> Endpoint:
        return Endpoint(f"ws://127.0.0.1:{port}/v3/ws", {"Authorization": self.find_key()})

    monkeypatch.setattr(AssemblyAI, "connect_info", nobody_listens)

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.service.value = "assemblyai"
        panel.key.value = KEY
        await sees(panel, rtkit.StreamError, r"127\.0\.0\.1 cannot be reached")
        assert panel.figure.layout.display == "none"

    with socket.socket() as taken:  # bound, not listening: nobody else can listen there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        as_in_a_notebook(scenario())


def test_a_service_that_breaks_off_is_said_and_what_came_is_shown(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = rtkit.Loopback()
    monkeypatch.setattr("rtkit.loopback.process.embedded", lambda: service)

    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        task = await begin(panel)
        await until(lambda: panel.progress.value > 0)
        await asyncio.to_thread(service.close)
        await asyncio.wait_for(task, PATIENCE)
        assert isinstance(panel.error, rtkit.StreamError)
        assert alerts(panel)
        assert said(panel) == str(panel.error)
        assert panel.sessions["wall_clock"].chunks
        assert panel.figure.layout.display == "block"
        assert "wall_clock.jsonl" in panel.saved.value
        assert ready(panel)

    try:
        as_in_a_notebook(scenario())
    finally:
        service.close()


def test_an_error_nobody_foresaw_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def draw(sessions: object) -> str:
        raise RuntimeError("no <ink> left")

    monkeypatch.setattr(results_box, "draw", draw)

    async def scenario() -> None:
        panel = a_panel(runs)
        await sees(panel, RuntimeError, "^RuntimeError: no <ink> left$")
        assert "&lt;ink&gt;" in panel.status.value
        assert panel.sessions["wall_clock"].complete  # the measurement is there all the same

    as_in_a_notebook(scenario())


def test_an_error_while_showing_is_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(*_: object, **__: object) -> str:
        raise ZeroDivisionError("a trace of nothing")

    monkeypatch.setattr(live_box, "live", trace)

    async def scenario() -> None:
        panel = a_panel(runs)
        await sees(panel, ZeroDivisionError, "ZeroDivisionError: a trace of nothing")

    as_in_a_notebook(scenario())


# Uploads and keys are not kept where a saved notebook would keep them.


def test_an_upload_is_chosen_measured_and_not_kept_in_the_widget(
    runs: Path, tmp_path: Path
) -> None:
    content = recording(tmp_path / "mine.wav").read_bytes()

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.upload.value = (upload("mine.wav", content),)
        assert panel.upload.value == ()
        assert repr(content[-40:])[2:-1] not in state(panel)
        assert panel.file.label == "mine.wav"
        assert said(panel) == "mine.wav: 1.0 s at 8000 Hz."
        await finish(panel)
        assert panel.sessions["wall_clock"].settings.recording == "mine.wav"
        panel.close()
        assert not Path(panel.file.value).exists()

    as_in_a_notebook(scenario())


def test_an_upload_takes_its_reference_along(runs: Path) -> None:
    call = rtkit.bundled()[0]
    files = [call.with_suffix(".json"), call]

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.upload.value = tuple(upload(file.name, file.read_bytes()) for file in files)
        assert panel.file.value != str(call)
        await finish(panel)
        reference = panel.sessions["wall_clock"].reference
        assert reference is not None
        assert reference.words[0].text == "Good"
        panel.close()

    as_in_a_notebook(scenario())


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("notes.txt", r"notes\.txt is no recording by its name"),
        ("noise.wav", r"noise\.wav cannot be read as audio"),
        ("../../escape.wav", r"escape\.wav cannot be read as audio"),
        ("..", r"The upload '\.\.' cannot be kept \(it is no file's name\)\. Rename"),
        ("", "The upload '' cannot be kept"),
        ("a\0b.wav", "The upload .* cannot be kept .*Rename the file"),
        ("\ud800.wav", "The upload .* cannot be kept .*Rename the file"),
        (f"{'x' * 300}.wav", "The upload 'xxx.* … cannot be kept .*Rename the file"),
    ],
)
def test_an_unreadable_upload_is_said_at_once(runs: Path, name: str, sentence: str) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        panel.upload.value = (upload(name, b"neither RIFF nor anything"),)
        assert re.match(sentence, said(panel)), said(panel)  # from its name on, not from a path's
        assert alerts(panel)
        assert isinstance(panel.error, rtkit.AudioError)
        assert panel.upload.value == ()
        assert ready(panel)
        if "escape" in name:  # a name cannot lead out of the folder for uploads
            assert Path(panel.file.value).parent.name.startswith("rtkit-")
        panel.close()

    as_in_a_notebook(scenario())


def test_whatever_lies_among_the_sessions_the_panel_opens(runs: Path) -> None:
    facts_session([0.0]).save(runs / "good.jsonl")
    opening = json.loads((runs / "good.jsonl").read_text().splitlines()[0])
    odd = {
        "2026-13-45_99-99-99_call_100ms_wall_clock": "",
        "no_date": json.dumps({**opening, "started": "2026-13-45T99:99:99"}),
        "year_1": json.dumps({**opening, "started": "0001-01-01T00:00:00"}),
        "deep": "[" * 100_000,
        "numbers": json.dumps({**opening, "settings": {**opening["settings"], "chunk": "soon"}}),
    }
    for name, text in odd.items():
        (runs / f"{name}.jsonl").write_text(text)
    os.mkfifo(runs / "pipe.jsonl")  # opening it would wait for ever

    async def scenario() -> None:
        panel = a_panel(runs)
        titles = [title for title, _ in panel.earlier.file.options]
        assert sorted(titles)[1:] == sorted(odd)
        assert "wall clock, 100 ms" in min(titles)
        panel.close()

    as_in_a_notebook(scenario())


@pytest.mark.parametrize("button", ["run", "hear"])
@pytest.mark.parametrize("fault", ["gone", "damaged", "start", "sidecar"])
def test_no_error_shows_the_folder_of_uploads(
    runs: Path, tmp_path: Path, button: str, fault: str
) -> None:
    content = recording(tmp_path / "mine.wav").read_bytes()

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.upload.value = (upload("mine.wav", content),)
        uploaded = Path(panel.file.value)
        if fault == "gone":
            uploaded.unlink()
        elif fault == "damaged":
            uploaded.write_bytes(b"no audio any more")
        elif fault == "sidecar":
            uploaded.with_suffix(".json").write_text("{")
        else:
            panel.start.value = 5
        await press(panel, getattr(panel, button))
        assert alerts(panel)
        assert "mine." in said(panel)
        assert str(uploaded.parent) not in state(panel).replace(repr(str(uploaded)), "")
        panel.close()

    as_in_a_notebook(scenario())


def test_a_typed_key_is_used_and_kept_nowhere(
    runs: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    keys = []

    async def connect_info(self: AssemblyAI, rate: int, reference: Any = None) -> Endpoint:
        keys.append(self.find_key())
        found = await embedded().connect_info(rate, reference)
        return Endpoint(found.url, {"Authorization": self.find_key()})

    monkeypatch.setattr(AssemblyAI, "connect_info", connect_info)
    states = []

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.service.value = "assemblyai"
        panel.key.observe(lambda _: states.append(panel.key.value), "value")
        panel.key.value = f" {KEY}\n"
        assert panel.key.value == ""
        assert "memory only" in panel.key.placeholder
        task = await begin(panel)
        await until(lambda: panel.progress.value > 0)
        states.append(state(panel))
        await asyncio.wait_for(task, PATIENCE)
        assert panel.error is None, panel.error
        states.append(state(panel))
        states.append(repr(panel) + repr(panel.sessions) + repr(panel.task))

    as_in_a_notebook(scenario())
    assert keys == [KEY]
    files = list(runs.iterdir())
    assert json.loads(files[0].read_text().splitlines()[0])["settings"]["service"]["name"]
    for kept in (*states, *(file.read_text() + file.name for file in files), *capfd.readouterr()):
        assert KEY not in kept
