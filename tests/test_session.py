"""A session's facts, and the file that keeps them, whatever ends the writing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import spoken
from facts import session as built

from rtkit.recording import Recorder, load_session
from rtkit.services.messages import Begin
from rtkit.session import Chunk, Ending, Event, Fact, Message, Session, Settings, Stall

SETTINGS = Settings("a.wav", 8000, 0, 2000, 1, "WAV PCM_16", 0.1, "wall_clock", work=0.003)
REFERENCE = spoken(("Grün\u2028", 0.1, 0.2), ("ist.", 0.2, 0.25))


def final(order: int, transcript: str, *, formatted: bool = False, end: bool = True) -> str:
    words = [{"text": text, "start": 0, "end": 1} for text in transcript.split()]
    return json.dumps(
        {
            "type": "Turn",
            "turn_order": order,
            "transcript": transcript,
            "words": words,
            "end_of_turn": end,
            "turn_is_formatted": formatted,
        }
    )


FACTS: tuple[Fact, ...] = (
    Event(-0.2, "connecting"),
    Message(-0.1, json.dumps({"type": "Begin", "id": "x", "expires_at": 1})),
    Chunk(0, 0, 800, 0.1, 0.1, 0.1001, 1600),
    Message(0.15, final(0, "grün", end=False)),
    Chunk(1, 800, 1600, 0.2, 0.203, 0.2031, 1600),
    Stall(0.25, 0.04),
    Message(0.26, "\u2028 no JSON \N{SNOWMAN}\n"),
    Chunk(2, 1600, 2000, 0.25, 0.26, 0.2601, 1600, padding=800),
    Message(0.27, final(0, "grün ist")),
    Message(0.28, final(0, "Grün ist.", formatted=True)),
    Message(0.29, final(1, "")),
    Event(0.3, "terminate"),
    Ending("complete", code=1000, reason="Session Ended"),
)


def recorded(facts: tuple[Fact, ...] = FACTS, path: Path | None = None) -> Session:
    recorder = Recorder(SETTINGS, {"cores": "2"}, REFERENCE, path=path)
    recorder.begin(100.0, "2026-11-22T12:00:00.000+00:00")
    for fact in facts:
        recorder.add(fact)
    recorder.close()
    return recorder.session()


def test_what_is_derived_follows_from_the_facts() -> None:
    session = recorded()
    np.testing.assert_allclose(session.lateness, [0, 0.003, 0.01], rtol=0, atol=1e-12)
    assert session.complete
    assert session.replies[0] == (-0.1, Begin("x", 1))
    assert session.transcript == "Grün ist."  # the formatted final replaces, the empty one goes
    assert len(session.turns) == 1
    assert session.bytes_sent == 4800
    assert session.terminated == 0.3
    assert session.label == "wall_clock, 100 ms"
    assert repr(session) == (
        "<Session a.wav, wall_clock, 100 ms: complete, 3 chunks, 1 turn, last chunk 10 ms late>"
    )


def test_a_session_without_facts_is_empty_not_an_error() -> None:
    session = recorded(())
    assert session.lateness.shape == (0,)
    assert (session.turns, session.transcript, session.terminated) == ((), "", None)
    assert not session.complete
    assert "incomplete, 0 chunks" in repr(session)


def test_facts_before_the_start_are_counted_from_it(tmp_path: Path) -> None:
    recorder = Recorder(SETTINGS, {}, None, path=tmp_path / "a.jsonl")
    recorder.add(Event(99.5, "connecting"))
    recorder.add(Message(99.75, "{}"))
    recorder.begin(100.0, "")
    recorder.add(Event(0.5, "terminate"))
    recorder.close()
    session = load_session(tmp_path / "a.jsonl")
    assert session == recorder.session()
    assert [event.at for event in session.events] == [-0.5, 0.5]
    assert session.messages[0].at == -0.25


def test_saved_and_loaded_a_session_is_the_same(tmp_path: Path) -> None:
    session = recorded()
    assert load_session(session.save(tmp_path / "new" / "a.jsonl")) == session


def test_recorded_and_loaded_a_session_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.jsonl"
    session = recorded(path=path)
    assert load_session(path) == session
    assert load_session(path).reference == REFERENCE


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_a_cut_file_loads_without_its_ending(tmp_path: Path, cut: int) -> None:
    """Cut before, at the start of, in the middle of and at the end of a line."""
    path = tmp_path / "a.jsonl"
    recorded(path=path)
    lines = path.read_text().splitlines(keepends=True)
    for kept in range(1, len(lines) - 1):
        path.write_text("".join(lines[:kept]) + lines[kept][:cut])
        session = load_session(path)
        assert session.ending is None
        assert not session.complete
        facts = [*session.chunks, *session.messages, *session.stalls, *session.events]
        assert len(facts) == kept - 1 + (cut == -1)


@pytest.mark.parametrize(
    "damage", ["", "{", "[]", "3", '{"kind": "dream"}', '{"kind": "chunk"}', '{"at": 1.0}']
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "a.jsonl"
    recorded(path=path)
    lines = path.read_text().splitlines()
    lines[3] = damage
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(ValueError, match=r"a\.jsonl, line 4, is damaged"):
        load_session(path)


@pytest.mark.parametrize(
    "content",
    ["", "\n", "{}", "[]", "RIFF", '{"kind": "chunk"}', '{"kind": "session"}', b"\xff\xfe\xfd"],
)
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=r"a\.jsonl is not a session that rtkit recorded"):
        load_session(path)


@pytest.mark.parametrize("key", ["settings", "host", "started", "zero", "reference"])
def test_an_opening_that_lacks_something_is_refused(tmp_path: Path, key: str) -> None:
    path = recorded().save(tmp_path / "a.jsonl")
    opening, *rest = path.read_text().splitlines(keepends=True)
    short = {name: value for name, value in json.loads(opening).items() if name != key}
    path.write_text(json.dumps(short) + "\n" + "".join(rest))
    with pytest.raises(ValueError, match=key):
        load_session(path)


def test_a_session_that_is_killed_as_soon_as_it_begins_can_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first line is written at once, and not when the writer comes round."""
    monkeypatch.setattr("rtkit.writing.BEAT", 1e6)
    path = tmp_path / "a.jsonl"
    recorder = Recorder(SETTINGS, {}, None, path=path)
    recorder.begin(0.0, "")
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.001)
    assert load_session(path).settings == SETTINGS
    recorder.close()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="There is no device that is full.")
def test_a_full_disk_is_told_of_at_the_end_only() -> None:
    recorder = Recorder(SETTINGS, {}, None, path="/dev/full")
    recorder.begin(0.0, "")
    for fact in FACTS:
        recorder.add(fact)
    with pytest.raises(OSError, match="No space left"):
        recorder.close()
    assert recorder.session().complete


SENDER = """
import asyncio, sys
import rtkit
from rtkit.loopback.engines import Energy
from rtkit.loopback.in_memory import InMemoryConnection

def tell(fact):
    if fact.kind == "chunk":
        print(fact.index, flush=True)

async def main(recording, record):
    clip = rtkit.open_clip(recording)
    connection = InMemoryConnection(Energy, rate=clip.rate)
    await rtkit.stream(clip, chunk=0.05, connection=connection, record=record, on_event=tell)

asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_process_leaves_a_file_that_loads(tmp_path: Path) -> None:
    import soundfile

    soundfile.write(tmp_path / "a.wav", np.zeros(8000 * 60, dtype=np.int16), 8000)
    path = tmp_path / "a.jsonl"
    sender = subprocess.Popen(
        [sys.executable, "-c", SENDER, tmp_path / "a.wav", path],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    with sender:
        assert sender.stdout is not None
        sent = next(int(line) for line in sender.stdout if int(line) >= 50)
        sender.send_signal(signal.SIGKILL)
    session = load_session(path)
    assert session.ending is None
    # It writes twice a second, which is 10 chunks; a busy machine gets time for 30 more.
    assert len(session.chunks) >= sent - 40
    assert [chunk.index for chunk in session.chunks] == list(range(len(session.chunks)))


def test_a_file_of_a_later_format_says_so(tmp_path: Path) -> None:
    path = recorded().save(tmp_path / "later.jsonl")
    path.write_text(path.read_text().replace('"format": 1', '"format": 99'))
    with pytest.raises(ValueError, match="a newer version of rtkit wrote it"):
        load_session(path)


def test_settings_that_are_not_known_yet_are_passed_over(tmp_path: Path) -> None:
    path = recorded().save(tmp_path / "a.jsonl")
    path.write_text(path.read_text().replace('"pacing":', '"mood": "good", "pacing":', 1))
    assert load_session(path) == recorded()


def test_the_error_over_a_large_foreign_file_is_short(tmp_path: Path) -> None:
    path = tmp_path / "call.wav"
    path.write_bytes(b"RIFF\xff" * 100_000)
    with pytest.raises(ValueError, match="not a session") as caught:
        load_session(path)
    assert len(str(caught.value)) < 1000


# A folder.


def test_a_folder_is_read_in_the_order_of_its_names(tmp_path: Path) -> None:
    for name in ("wall_clock", "fixed_sleep", "today/wall_clock", "today/.hidden/a", ".b"):
        recorded().save(tmp_path / f"{name}.jsonl")
    (tmp_path / "notes.txt").write_text("no session")
    sessions = load_session(tmp_path)
    assert list(sessions) == ["fixed_sleep", "today/wall_clock", "wall_clock"]
    assert all(session == recorded() for session in sessions.values())


def test_a_damaged_file_in_a_folder_is_named_and_costs_no_other(tmp_path: Path) -> None:
    recorded().save(tmp_path / "a.jsonl")
    (tmp_path / "b.jsonl").write_text("RIFF")
    recorded().save(tmp_path / "c.jsonl")
    with pytest.warns(UserWarning, match=r"b\.jsonl is not a session .* left out") as warned:
        sessions = load_session(tmp_path)
    assert list(sessions) == ["a", "c"]
    assert [warning.filename for warning in warned] == [__file__]  # it points at the caller


def test_a_folder_without_sessions_says_how_to_record_some(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"contains no session .* record="):
        load_session(tmp_path)


def test_a_file_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    with pytest.raises(
        ValueError,
        match=r"No such file or folder: .*b\.jsonl.*; there are "
        r"a\.jsonl",
    ):
        load_session(tmp_path / "b.jsonl")
    with pytest.raises(ValueError, match="its folder has no sessions"):
        load_session(tmp_path / "folder" / "b.jsonl")


def test_a_folder_cannot_be_recorded_to(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is a folder; give a file name"):
        Recorder(SETTINGS, {}, None, path=tmp_path)


def test_an_early_sender_is_called_early() -> None:
    assert "last chunk 100 ms early" in repr(built([0.0, -0.1]))
    assert "last chunk 100 ms late" in repr(built([0.0, 0.1]))
