"""The panel without a browser: widgets set in code, real sessions with the embedded service."""

# ruff: noqa: ASYNC110, ASYNC240 - scenarios poll what a person would see, and look at files
from __future__ import annotations

import asyncio
import base64
import html
import io
import json
import os
import re
import socket
import zipfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from datetime import UTC, datetime
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
from rtkit.services.service import vendors
from rtkit.session import Chunk, Message
from rtkit.tap.tap import Tap
from rtkit.widgets import browser, live_box, results_box
from rtkit.widgets.downloads import download
from rtkit.widgets.live import COLUMNS, Watched
from rtkit.widgets.measuring import in_rounds, measure
from rtkit.widgets.panel import Panel
from rtkit.widgets.sending_box import Planned, SendingBox

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


def a_panel(runs: Path, *, pacing: str = "wall_clock", seconds: float = 0.4) -> Panel:
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
    """What the images of the figure hold."""
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
    path.parent.mkdir(exist_ok=True)
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
        for heading in ("fixed sleep", "wall clock", "drift, ms per s of audio"):
            assert heading in panel.table.value
        shown = panel.timeline.data["sessions"]
        assert [one["name"] for one in shown] == ["fixed sleep", "wall clock"]
        assert "public library" in " ".join(word["text"] for word in shown[1]["words"])

        files = sorted(runs.glob("*.jsonl"))
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
        panel.chunk.value = 62.5
        assert panel.presets.value is None

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
    assert line.startswith('<li value="1"><i>… word')
    assert line.endswith("word999 …</i></li>")
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


def test_a_recording_is_listed_once_and_names_that_repeat_tell_their_folders(
    runs: Path, tmp_path: Path
) -> None:
    call = rtkit.bundled()[0]
    mine = recording(tmp_path / "mine" / call.name)

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.folder.value = str(call.parent)  # where the bundled ones lie
        assert [label for label, _ in panel.file.options].count(call.name) == 1
        panel.folder.value = str(mine.parent)
        labels = [label for label, _ in panel.file.options]
        assert labels[0] == f"{call.name} (mine)"
        assert f"{call.name} ({call.parent.name})" in labels
        panel.upload.value = (upload(call.name, mine.read_bytes()),)
        assert panel.file.label == f"{call.name} (uploaded)"
        panel.close()

    as_in_a_notebook(scenario())


def test_an_empty_folder_says_so_and_a_new_choice_clears_the_sentence(
    runs: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.folder.value = str(tmp_path / "empty")
        assert re.fullmatch(r"The folder .*empty holds no recording; it takes .*", said(panel))
        panel.folder.value = str(recording(tmp_path / "some" / "a.wav").parent)
        assert said(panel) == ""
        panel.upload.value = (upload("bad.wav", b"nothing"),)
        assert said(panel).startswith("bad.wav cannot be read")
        panel.file.value = str(tmp_path / "some" / "a.wav")
        assert said(panel) == ""
        panel.close()

    as_in_a_notebook(scenario())


# What is chosen is said before it is run.


def shown(widget: ipywidgets.HTML) -> str:
    return html.unescape(re.sub(r"<[^>]*>", " ", widget.value))


def test_what_is_chosen_is_said_beforehand(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, pacing="compare", seconds=10)
        await until(lambda: "10.0 s" in panel.chosen.value)
        assert re.search(
            r"library_call.wav: 10.0 s of 79.1 s at 16000 Hz, one channel, level .\d+ dBFS, "
            r"a reference of \d+ words. 2 sessions, about 26 s\.",
            shown(panel.chosen),
        ), shown(panel.chosen)
        panel.service.value, panel.pacing.value, panel.seconds.value = (
            "assemblyai",
            "wall_clock",
            57,
        )
        await until(lambda: "bills" in panel.chosen.value)
        told = "1 session, about 60 s, which AssemblyAI bills as 1.0 minutes of session time."
        assert told in shown(panel.chosen)
        panel.start.value = "soon"
        await until(lambda: not panel.chosen.value)

    as_in_a_notebook(scenario())


def test_a_call_of_two_channels_offers_each_and_says_what_its_level_means(
    runs: Path, tmp_path: Path
) -> None:
    mono, rate = soundfile.read(recording(tmp_path / "mono.wav"))
    soundfile.write(tmp_path / "call.wav", np.stack([300 * mono, -300 * mono], axis=1), rate)
    recording(tmp_path / "one.wav")

    async def scenario() -> None:
        panel = a_panel(runs)
        assert panel.channel.layout.display == "none"
        panel.folder.value, panel.file.value = str(tmp_path), str(tmp_path / "call.wav")
        assert panel.channel.layout.display == "flex"
        assert [label for label, _ in panel.channel.options] == [
            "all, averaged",
            "1 of 2",
            "2 of 2",
        ]
        await until(lambda: "2 channels, averaged" in panel.chosen.value)
        assert "channels cancel: " in shown(panel.chosen)
        assert "Use one of them: channel 1, under More." in shown(panel.chosen)
        panel.channel.value = 1
        await until(lambda: "channel 2 of 2" in panel.chosen.value)
        assert "cancel" not in panel.chosen.value
        await finish(panel)
        assert panel.sessions["wall_clock"].settings.channel == 1
        panel.file.value = str(tmp_path / "one.wav")
        assert panel.channel.value == -1
        assert panel.channel.layout.display == "none"

    as_in_a_notebook(scenario())


def test_only_what_is_not_as_usual_is_named_beside_more(runs: Path) -> None:
    async def scenario() -> None:
        panel = rtkit.panel(record=runs)
        await asyncio.sleep(0)
        assert shown(panel.unusual).strip() == "all as usual"
        assert not panel.more.value
        panel.start.value, panel.isolation.value, panel.chunk.value = 3, "thread", 50
        await asyncio.sleep(0)
        told = "not as usual: start (s) 3, sender in a thread of its own"
        assert shown(panel.unusual).strip() == told

    as_in_a_notebook(scenario())


def test_a_refused_run_leaves_the_last_result_and_shows_which_field_it_waits_for(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nobody_listens(self: AssemblyAI, rate: int, reference: object = None) -> Endpoint:
        return Endpoint(f"ws://127.0.0.1:{port}/v3/ws", {"Authorization": self.find_key()})

    monkeypatch.setattr(AssemblyAI, "connect_info", nobody_listens)

    async def scenario() -> None:
        panel = a_panel(runs)
        await finish(panel)
        before = (panel.sessions, panel.figure.value, panel.table.value, panel.saved.value)
        files = sorted(runs.glob("*.jsonl"))

        async def refuses(sentence: str) -> None:
            await sees(panel, ValueError, sentence)
            assert (
                panel.sessions,
                panel.figure.value,
                panel.table.value,
                panel.saved.value,
            ) == before

        panel.start.value = 500
        await refuses(
            r"^start \(s\): 500 is beyond the end of library_call.wav, 79.1 s. Type less."
        )
        assert panel.more.value  # or the field would not be seen
        assert "beyond the end" in panel.start.note.value
        panel.start.value, panel.work.value = 0, -3
        await refuses(r"^extra work per chunk \(ms\): -3 is out of range\. Type 0 to 1000 ms\.$")
        panel.work.value, panel.stall_at.value = 0, "soon"
        await refuses(r"^stall at \(s\): soon is not a number")  # though there is no stall
        panel.stall_at.value, panel.chunk.value = 5, "5"
        await refuses(r"^chunk \(ms\): 5 is out of range\. Type 50 to 1000 ms\.$")
        panel.chunk.value, panel.service.value = 100, "assemblyai"
        panel.sweep.index = 2
        panel.chunk.high = 500  # as another service may have it
        await refuses("^sweep: the service takes chunks of 50 to 500 ms")
        panel.sweep.index, panel.chunk.high = 0, 1000
        await refuses(f"needs an API key: paste it into the field API key, or set {KEY_VARIABLE}")

        panel.key.value = KEY  # and where the service is not there, nothing is shown in its place
        await sees(panel, rtkit.StreamError, r"127\.0\.0\.1 cannot be reached")
        assert panel.sessions is before[0]
        assert (panel.figure.value, panel.table.value) == before[1:3]
        offered = [path for _, path in panel.earlier.file.options]
        assert offered == [str(file) for file in files]  # its file is kept, and is no session
        assert panel.progress.bar_style == "danger"

    with socket.socket() as taken:  # bound, not listening: nobody else can listen there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        as_in_a_notebook(scenario())


def test_repeats_and_a_sweep_run_each_session_by_a_name_of_its_own(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs, seconds=0.5)
        panel.repeats.value = 2
        panel.sweep.label = "chunks of 50, 100, 200 ms"
        await finish(panel)
        assert panel.error is None
        first = [f"wall_clock, {chunk} ms" for chunk in (50, 100, 200)]
        assert list(panel.sessions) == [*first, *(f"{name} (2)" for name in first)]
        chunks = [session.settings.chunk for session in panel.sessions.values()]
        assert chunks == [0.05, 0.1, 0.2] * 2
        assert len(list(runs.glob("*.jsonl"))) == 6
        assert "median (95% interval)" in panel.table.value
        assert "lateness, wall clock, 50 ms" in panel.table.value
        assert len(panel.timeline.data["sessions"]) == 6
        panel.timeline_of.label = "wall clock, 100 ms (2)"
        await until(lambda: len(panel.timeline.data["sessions"]) == 1)
        assert panel.timeline.data["sessions"][0]["name"] == "wall clock, 100 ms (2)"

    as_in_a_notebook(scenario())


def test_sessions_begin_as_far_apart_as_the_service_wants_them(runs: Path) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=0.2)
    begun: list[float] = []

    async def scenario() -> None:
        await rtkit.stream(clip)  # the service's process is there from here on
        await measure(
            clip,
            [Planned("a", "wall_clock", 100, 1), Planned("b", "wall_clock", 100, 2)],
            {},
            folder=runs,
            whom="a service",
            live=live_box.LiveBox(trace=False),
            keep=lambda name, session, path: begun.append(session.zero),
            spacing=1.5,
        )

    as_in_a_notebook(scenario())
    assert begun[1] - begun[0] > 1


# Several services at the same time.


@pytest.fixture
def _assemblyai_is_embedded(monkeypatch: pytest.MonkeyPatch) -> None:
    async def connect_info(self: AssemblyAI, rate: int, reference: Any = None) -> Endpoint:
        found = await embedded().connect_info(rate, reference)
        return Endpoint(found.url, {"Authorization": self.find_key()})

    monkeypatch.setattr(AssemblyAI, "connect_info", connect_info)


@pytest.mark.usefixtures("drawn", "_assemblyai_is_embedded")
def test_several_services_hear_the_same_at_the_same_time(runs: Path) -> None:
    transcripts: list[str] = []

    async def scenario() -> None:
        panel = a_panel(runs, pacing="compare", seconds=2)
        alone = (panel.pacing, panel.isolation, panel.work.text, panel.stall.text)
        panel.also.boxes["assemblyai"].value = True
        assert panel.also.value == ("assemblyai",)
        assert all(field.disabled for field in alone)
        await until(lambda: "bills" in panel.chosen.value)
        assert (
            "2 sessions at the same time by the wall clock, without extra work, about 5 s, which "
            "AssemblyAI bills as 0.1 minutes of session time."
        ) in shown(panel.chosen)
        assert "at the same time AssemblyAI" in shown(panel.unusual)

        field = panel.other_keys["assemblyai"]
        assert (panel.key.layout.display, field.layout.display) == ("none", "flex")
        await sees(panel, ValueError, "^AssemblyAI needs an API key: .* field API key, AssemblyAI,")
        field.value = f" {KEY}"
        assert field.value == ""
        panel.transcript.observe(lambda _: transcripts.append(panel.transcript.value), "value")
        await finish(panel)
        assert panel.error is None, panel.error
        assert list(panel.sessions) == ["embedded", "AssemblyAI"]
        one, other = panel.sessions.values()
        assert one.complete
        assert other.complete
        assert abs(one.zero - other.zero) < one.sent[-1]  # not in turn
        assert {one.settings.pacing, other.settings.pacing} == {"wall_clock"}
        assert said(panel).startswith("Done: embedded ended ")
        assert "AssemblyAI ended " in said(panel)
        assert panel.progress.value == 1
        live = max(transcripts, key=len)  # both, while they ran
        assert "<b>embedded</b>" in live
        assert "<b>AssemblyAI</b>" in live
        assert live.count("good morning") == 2
        assert "each service a dot" in panel.figure.value
        files = sorted(runs.glob("*.jsonl"))
        assert len(files) == 2
        for file in files:
            assert KEY not in file.read_text()
        assert KEY not in state(panel) + (runs / ".panel.json").read_text()

        again = rtkit.panel(record=runs)
        assert again.also.value == ("assemblyai",)
        again.also.value = ()
        assert not again.work.text.disabled
        assert list(again._sending.options(None))[:2] == ["work", "blocks"]
        again.service.value = "assemblyai"  # who is chosen already is not offered again
        assert again.also.boxes["assemblyai"].layout.display == "none"

    as_in_a_notebook(scenario())


def test_a_service_that_cannot_be_reached_costs_the_others_nothing(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    with socket.socket() as taken:  # bound, not listening: nobody else can listen there
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]

        async def connect_info(self: AssemblyAI, rate: int, reference: Any = None) -> Endpoint:
            return Endpoint(f"ws://127.0.0.1:{port}/v3/ws", {"Authorization": self.find_key()})

        monkeypatch.setattr(AssemblyAI, "connect_info", connect_info)

        async def scenario() -> None:
            panel = a_panel(runs)
            panel.also.value = ("assemblyai",)
            await sees(panel, rtkit.StreamError, r"^AssemblyAI: .*127\.0\.0\.1 cannot be reached")
            assert list(panel.sessions) == ["embedded"]
            assert panel.sessions["embedded"].complete

        as_in_a_notebook(scenario())


@pytest.mark.usefixtures("_assemblyai_is_embedded")
def test_stop_keeps_what_each_service_said(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, KEY)

    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        panel.also.value = ("assemblyai",)
        task = await begin(panel)
        await until(lambda: "embedded, AssemblyAI: " in said(panel) and "s left" in said(panel))
        panel.stop.click()
        await asyncio.wait_for(task, PATIENCE)
        assert list(panel.sessions) == ["embedded", "AssemblyAI"]
        assert all(one.chunks and not one.complete for one in panel.sessions.values())
        assert said(panel).startswith("Stopped; what was recorded is kept: embedded ended ")

    as_in_a_notebook(scenario())


def test_what_differs_only_in_the_service_runs_at_once() -> None:
    box = SendingBox()
    box.pacing.value = "compare"
    assert [len(one) for one in in_rounds(box.planned())] == [1, 1]
    box.listeners.also.value = ("soniox", "deepgram", "no such")
    assert box.listeners.also.label == ("Deepgram", "Soniox")
    box.repeats.value = 2
    rounds = in_rounds(box.planned())
    assert [[one.name for one in each] for each in rounds] == [
        ["embedded", "Deepgram", "Soniox"],
        ["embedded (2)", "Deepgram (2)", "Soniox (2)"],
    ]
    assert {one.pacing for each in rounds for one in each} == {"wall_clock"}
    clip, at = rtkit.open_clip(rtkit.bundled()[0]), datetime.now(UTC)
    assert len({one.file_name(clip, at) for each in rounds for one in each}) == 6
    assert (box.chunk.low, box.chunk.high) == (50, 1000)  # what all of them take
    assert box.listeners.spacing(2) == 0
    assert box.listeners.spacing(101) == 0.6


# Somebody else's client.


def test_a_client_is_watched_while_it_streams_and_measured_when_it_has_gone(runs: Path) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=1.5)
    traced: list[object] = []

    async def scenario() -> None:
        panel = rtkit.panel(record=runs)
        panel.watch.click()
        await until(lambda: "rt-address" in panel.status.value)
        assert panel.run.disabled
        assert not panel.stop.disabled
        (url,) = re.findall(
            r"<code class=.rt-address.>(ws://127[.\d]+:\d+)</code>", panel.status.value
        )
        panel.timeline.observe(lambda change: traced.append(change["new"]), "data")
        for number in (1, 2):
            whose = AssemblyAI if number == 1 else rtkit.Deepgram  # the path picks it
            own = await rtkit.stream(clip, service=whose(key=KEY, host=url))
            await until(lambda: f"client {number}: " in said(panel))  # noqa: B023
            await until(lambda: len(panel.sessions) == number)  # noqa: B023
            await until(lambda: panel.figure.layout.display == "block")
        assert list(panel.sessions) == ["client 1", "client 2"]
        seen = panel.sessions["client 2"]
        assert seen.complete
        assert len(seen.chunks) == len(own.chunks)
        assert seen.transcript == own.transcript == "good morning this is"
        panel.stop.click()
        assert panel.task is not None
        await asyncio.wait_for(panel.task, PATIENCE)
        assert ready(panel)
        assert panel.error is None, panel.error
        assert said(panel).startswith("Done: client 1 ended ")
        files = sorted((runs / "tap").glob("*.jsonl"))
        assert [file.name for file in files] == ["client-1.jsonl", "client-2.jsonl"]
        assert all(str(file) in panel.saved.value for file in files)
        live = [one for one in traced if one and not one["parts"]]  # type: ignore[index]
        assert live  # while it streamed
        assert KEY not in state(panel) + "".join(file.read_text() for file in files)

    as_in_a_notebook(scenario())


def test_a_client_that_still_streams_at_stop_is_kept(runs: Path) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=30)

    async def scenario() -> None:
        panel = rtkit.panel(record=runs)
        panel.watch.click()
        await until(lambda: "rt-address" in panel.status.value)
        (url,) = re.findall(r">(ws://127[.\d]+:\d+)<", panel.status.value)
        client = asyncio.create_task(rtkit.stream(clip, service=AssemblyAI(key=KEY, host=url)))
        await until(lambda: panel.timeline.data)
        panel.stop.click()
        assert panel.task is not None
        await asyncio.wait_for(panel.task, PATIENCE)
        with pytest.raises(rtkit.StreamError):
            await client
        assert panel.error is None, panel.error
        assert panel.sessions["client 1"].chunks
        assert panel.figure.layout.display == "block"

    as_in_a_notebook(scenario())


@pytest.mark.parametrize("dialect", vendors())
def test_clients_of_each_service_are_passed_on_to_it(dialect: str) -> None:
    box = SendingBox()
    box.listeners.service.value = dialect
    upstream = box.listeners.upstream(rtkit.open_clip(rtkit.bundled()[0]))
    assert re.fullmatch(r"wss://[a-z0-9.-]+\.com", str(upstream))
    Tap(upstream)  # takes it


# Stopping, and running again.


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
        (file,) = runs.glob("*.jsonl")
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
        assert len(list(runs.glob("*.jsonl"))) == 1

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
        (file,) = runs.glob("*.jsonl")
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


def lines(panel: Panel) -> list[str]:
    """What the list of saved sessions shows, with single blanks."""
    return [" ".join(line.split()) for line, _ in panel.earlier.file.options]


def choose(panel: Panel, *places: int) -> None:
    panel.earlier.file.index = places


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
        told = f"{when} library_call.wav embedded, in memory, delay 0 ms 100 ms fixed sleep"
        assert panel.earlier.switch.description == "Saved sessions (1)"
        await until(lambda: lines(panel) == [f"{told} not valid: late"])
        assert panel.earlier.add.disabled  # nothing is chosen
        assert panel.earlier.remove.disabled
        choose(panel, 0)
        await press(panel, panel.earlier.add)
        assert said(panel) == "Shown beside: 1 saved session."
        (added,) = panel.added.values()
        assert added.chunks == yesterday.chunks
        assert panel.figure.value == "fixed sleep"  # before anything was measured today

        await finish(panel)
        assert list(panel.sessions) == ["wall_clock"]
        assert len(lines(panel)) == 2  # today's can be added tomorrow
        first, second = panel.figure.value.split(" and ")
        assert (first, second) == ("delay 150 ms, wall clock", "in memory, delay 0 ms, fixed sleep")
        for shown in (first, second):  # and what does not differ is not said
            assert shown in html.unescape(panel.table.value)
            assert "library_call" not in shown

        await press(panel, panel.earlier.remove)
        assert panel.added == {}
        assert panel.figure.value == "wall_clock"
        assert panel.earlier.remove.disabled

    as_in_a_notebook(scenario())


def test_saved_sessions_are_filtered_renamed_and_deleted(runs: Path) -> None:
    for name, pacing in (("a", "wall_clock"), ("b", "fixed_sleep"), ("c", "unpaced")):
        kept(runs, f"{name}_library_call_100ms_{pacing}.jsonl", "", pacing=pacing)
    kept(runs, "night/wall_clock.jsonl", "", pacing="wall_clock", chunk=0.2)
    (runs / "silent.jsonl").write_text((runs / "night/wall_clock.jsonl").read_text().split("\n")[0])

    async def scenario() -> None:
        panel = a_panel(runs)
        earlier = panel.earlier
        await until(lambda: all("valid" in line for line in lines(panel)))
        assert len(lines(panel)) == 4  # one that never sent anything is no session
        earlier.filter.value = "WALL  clock"
        assert len(lines(panel)) == 2
        earlier.filter.value = "wall 200"
        assert len(lines(panel)) == 1
        choose(panel, 0)
        assert not earlier.rename.disabled
        for taken in ("", "../up", "a/b", ".hidden", "x" * 300):
            earlier.name.value = taken
            earlier.rename.click()
            assert "it is no name for a file" in said(panel)
        earlier.name.value = "the long one"
        earlier.rename.click()
        assert (runs / "night" / "the long one.jsonl").exists()
        assert lines(panel)[0].endswith("the long one")
        assert earlier.chosen[0].name == "the long one"
        await press(panel, earlier.add)
        assert list(panel._shown()) == ["the long one"]

        earlier.filter.value = ""
        choose(panel, *range(3))
        assert earlier.rename.disabled  # it takes one
        assert earlier.delete.description == "Delete"
        earlier.delete.click()
        assert len(lines(panel)) == 4  # not yet: it asks
        assert earlier.delete.description == "Really delete 3"
        choose(panel, 0)
        assert earlier.delete.description == "Delete"  # another choice, another question
        gone = earlier.chosen[0].path
        earlier.delete.click()
        earlier.delete.click()
        assert not gone.exists()
        assert len(lines(panel)) == 3
        assert said(panel) == "Deleted: 1 session."

    as_in_a_notebook(scenario())


@pytest.mark.parametrize(("act", "done"), [("rename", "renamed"), ("delete", "deleted")])
def test_what_may_not_be_written_is_said(
    runs: Path, monkeypatch: pytest.MonkeyPatch, act: str, done: str
) -> None:
    kept(runs, "a.jsonl", "", pacing="wall_clock")

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, {"rename": "rename", "delete": "unlink"}[act], refuse)

    async def scenario() -> None:
        panel = a_panel(runs)
        choose(panel, 0)
        panel.earlier.name.value = "b"
        for _ in range(1 + (act == "delete")):
            getattr(panel.earlier, act).click()
        assert said(panel).startswith(f"It cannot be {done} (Permission denied).")
        assert len(lines(panel)) == 1

    as_in_a_notebook(scenario())


def test_a_saved_session_is_called_what_its_first_line_says(runs: Path) -> None:
    """And not what its file is called, unless a person called it so."""
    for name in ("renamed.jsonl", "2026-11-24_09-30-00_library_call_200ms_wall_clock.jsonl"):
        kept(runs, name, "2026-11-24T09:30:00+00:00", pacing="wall_clock", chunk=0.2)
    kept(runs, "wall_clock-2.jsonl", "", pacing="wall_clock")

    async def scenario() -> None:
        shown = lines(a_panel(runs))
        assert sorted(line.partition("delay 0 ms ")[2] for line in shown) == [
            "100 ms wall clock",
            "200 ms wall clock",
            "200 ms wall clock renamed",
        ]

    as_in_a_notebook(scenario())


def test_without_saved_sessions_there_is_nothing_to_add(runs: Path) -> None:
    async def scenario() -> None:
        panel = a_panel(runs)
        assert panel.earlier.switch.description == "Saved sessions (0)"
        assert panel.earlier.file.options == ()
        assert panel.earlier.add.disabled
        await finish(panel)
        choose(panel, 0)
        assert not panel.earlier.add.disabled

    as_in_a_notebook(scenario())


def test_choices_are_remembered_and_the_last_good_result_is_brought_back(
    runs: Path, tmp_path: Path
) -> None:
    mine = recording(tmp_path / "mine" / "a.wav")

    async def scenario() -> None:
        first = a_panel(runs)
        assert first.last.layout.display == "none"
        first.folder.value, first.chunk.value, first.start.value = str(mine.parent), "62,5", 0.2
        first.file.value = str(mine)
        first.isolation.value, first.repeats.value = "thread", 2
        first.service.value, first.key.value = "assemblyai", KEY
        first.service.value = "embedded"
        await finish(first)
        assert KEY not in (runs / ".panel.json").read_text()
        first.start.value = 500  # what is refused is not remembered
        await sees(first, ValueError, "beyond the end")

        again = rtkit.panel(record=runs)
        assert again.file.label == "a.wav"
        assert (again.chunk.text.value, again.pacing.value) == ("62,5", "wall_clock")
        assert (again.isolation.value, again.start.value, again.repeats.value) == ("thread", 0.2, 2)
        assert again.last.layout.display == "flex"
        assert again.figure.layout.display == "none"
        await press(again, again.last)
        assert len(again.sessions) == 2
        assert {one.settings.chunk for one in again.sessions.values()} == {0.0625}
        assert again.figure.layout.display == "block"
        assert said(again).startswith("Done: ")
        assert again.last.layout.display == "none"

        other = rtkit.panel(bundled_folder := rtkit.bundled()[0].parent, record=runs)
        assert other.folder.value == str(bundled_folder)  # what the cell says holds

        (runs / ".panel.json").write_text('{"choices": [1], "last": {"a": 1}}')
        assert rtkit.panel(record=runs).pacing.value == "compare"  # somebody else wrote that
        (runs / ".panel.json").write_text('{"choices": {"pacing": "no such", "chunk": 7}}')
        assert rtkit.panel(record=runs).chunk.value == 100

    as_in_a_notebook(scenario())


@pytest.mark.parametrize(
    ("kind", "name", "holds"),
    [
        ("Sessions", "wall_clock.jsonl", b'{"kind": "session"'),
        ("Report", "report.html", b"<!doctype html>"),
        ("Captions", "captions.zip", ["wall_clock_heard.srt", "wall_clock_heard.txt"]),
    ],
)
def test_what_was_measured_is_taken_away_by_a_button(
    runs: Path, kind: str, name: str, holds: bytes | list[str]
) -> None:
    kept(runs, "a.jsonl", "", pacing="wall_clock")

    async def scenario() -> None:
        panel = a_panel(runs)
        saved: list[tuple[Any, Any]] = []
        panel._browser.send = lambda content, buffers: saved.append((content, buffers))
        choose(panel, 0)
        await press(panel, panel.earlier.add)
        panel.sessions, panel.added = {"wall_clock": panel.added.popitem()[1]}, {}
        await press(panel, panel._results.downloads[kind])
        ((content, (file,)),) = saved
        assert content["name"] == name
        assert said(panel) == f"Your browser saves {name}."
        if isinstance(holds, bytes):
            assert file.lower().startswith(holds)
        else:
            assert set(holds) <= set(zipfile.ZipFile(io.BytesIO(file)).namelist())

    as_in_a_notebook(scenario())


@pytest.mark.parametrize("said_last", ["closed", "open"])
def test_whoever_closes_a_page_of_its_own_ends_session_and_kernel(
    runs: Path, monkeypatch: pytest.MonkeyPatch, said_last: str
) -> None:
    """At once if the page says so, or when it has not said for a while that it is open."""
    ended: list[rtkit.Session] = []
    monkeypatch.setattr(browser, "ABSENT", 0.3)

    async def scenario() -> None:
        panel = a_panel(runs, seconds=30)
        end_kernel = lambda: ended.extend(panel.sessions.values())  # noqa: E731
        monkeypatch.setattr("rtkit.widgets.panel.end_kernel", end_kernel)
        task = await begin(panel)
        while not panel.progress.value:
            panel._browser._handle_custom_msg({"page": "open"}, [])
            await asyncio.sleep(0.1)
        assert not task.done()
        panel._browser._handle_custom_msg({"page": said_last}, [])
        await asyncio.wait_for(task, PATIENCE)
        await asyncio.sleep(0)

    as_in_a_notebook(scenario())
    (session,) = ended  # the session ends first
    assert session.ending is not None
    assert session.ending.how == "stopped"


def test_a_file_that_is_no_session_is_said(runs: Path) -> None:
    runs.mkdir()
    (runs / "shopping.jsonl").write_text('{"milk": 2}\n')
    (runs / ".ipynb_checkpoints").mkdir()
    (runs / ".ipynb_checkpoints" / "copy.jsonl").write_text("")

    async def scenario() -> None:
        panel = a_panel(runs)
        assert lines(panel) == ["shopping not a session"]
        choose(panel, 0)
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
        assert re.search(r"long\.wav: 601 s at 8000 Hz is too much sound", said(panel))
        assert alerts(panel)
        assert panel.timeline.data == {}

    as_in_a_notebook(scenario())


def test_calibrating_counts_down(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def calibrate() -> str:
        await asyncio.sleep(1.3)
        return "<Calibration: service times are measured 0.3 ms too long>"

    monkeypatch.setattr("rtkit.widgets.panel.calibrate", calibrate)
    counted = []

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.status.observe(lambda _: counted.append(said(panel)), "value")
        panel.progress.observe(lambda change: counted.append(change["new"]), "value")
        await press(panel, panel.calibrate)
        assert panel.error is None
        assert "service times are measured " in said(panel)

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
        found = [one for one in families(panel) if isinstance(one, (*kinds, ipywidgets.Checkbox))]
        assert len(found) >= 22
        for widget in found:
            assert widget.description
            assert widget.tooltip, widget.description
            assert widget.tabbable is not False

    as_in_a_notebook(scenario())


# What goes wrong is said in the panel.


async def sees(panel: Panel, error: type[BaseException], sentence: str) -> None:
    """Press Run; the panel says one sentence of what is wrong and can run again."""
    await finish(panel)
    assert isinstance(panel.error, error)
    assert re.search(sentence, said(panel)), said(panel)
    assert alerts(panel)
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
        panel = a_panel(runs, seconds=1)
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
        ("..", r"The upload '\.\.' cannot be kept \(it is not a file name\)\. Rename"),
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
        (good,) = [line for line in lines(panel) if "100 ms wall clock" in line]
        assert {*lines(panel)} - {good} == {f"{name} not a session" for name in odd}
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
    files = list(runs.glob("*.jsonl"))
    assert json.loads(files[0].read_text().splitlines()[0])["settings"]["service"]["name"]
    for kept in (*states, *(file.read_text() + file.name for file in files), *capfd.readouterr()):
        assert KEY not in kept


def test_names_of_files_do_not_clash() -> None:
    one = facts_session([0.0] * 3)
    names = ["a/b", "a_b", "A b", "a_b-2", "x" * 300, "x" * 299 + "y"]
    _, content, _ = download("Sessions", dict.fromkeys(names, one))
    files = zipfile.ZipFile(io.BytesIO(content)).namelist()
    assert len({file.casefold() for file in files}) == len(names)


def test_sessions_at_the_same_time_keep_the_calibration() -> None:
    box = SendingBox()
    box.listeners.also.value = ("recognizer",)
    calibration: Any = object()
    assert box.several
    assert box.options(calibration)["calibration"] is calibration


def test_fields_that_are_refused_are_marked(runs: Path) -> None:
    """The browser's part, aria-invalid and the sentence, is in whole/test_browser.py."""

    async def scenario() -> None:
        panel = a_panel(runs)
        panel.folder.value = "no such folder"
        assert "rt-refused" in panel.folder._dom_classes
        panel.folder.value = ""
        assert "rt-refused" not in panel.folder._dom_classes
        panel.service.value = "assemblyai"
        await finish(panel)
        assert "rt-refused" in panel.key._dom_classes
        panel.key.value = KEY
        assert "rt-refused" not in panel.key._dom_classes

    as_in_a_notebook(scenario())
