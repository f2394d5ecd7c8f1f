"""One test a fault: the client ends in time, says what was wrong and what to do, or carries on."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from conftest import MakeClip, simulate, spoken, virtual_loop
from remains import linux, nothing_remains
from scripted import BEGIN, NORMAL, Scripted, error

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.timing.latency import turn_latency
from rtkit.audio import Clip
from rtkit.loopback.faults import FAULTS, Written, read_faults
from rtkit.loopback.process import Loopback
from rtkit.recording import StreamError, load_session
from rtkit.reference import Reference
from rtkit.sending import connect as connecting
from rtkit.sending import listen as listening
from rtkit.sending import run as running
from rtkit.sending import websocket as websocket
from rtkit.sending.stream import stream
from rtkit.services.endpoint import Closed, Endpoint
from rtkit.services.messages import Other, Turn
from rtkit.session import Session

BOUND = 20.0  # seconds; a fault here lasts for a minute or longer
HELLO = spoken(("Hello", 0.02, 0.12), ("there.", 0.15, 0.3))


@pytest.fixture(autouse=True)
def short_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "SEND_TIMEOUT", 0.5)
    for module in (listening, running):
        monkeypatch.setattr(module, "GOODBYE", 0.3)
        monkeypatch.setattr(module, "LAST_WORDS", 0.3)
    monkeypatch.setattr(websocket, "CLOSE_TIMEOUT", 0.3)
    monkeypatch.setattr(connecting, "PAUSES", (0.1, 0.2))


@dataclass(frozen=True)
class Outcome:
    session: Session
    error: str | None


def streamed(clip: Clip, path: Path, *faults: str, **how: Any) -> Outcome:
    """How a session with such a service ends: in time, its facts whole, and nothing left."""

    async def run() -> Outcome:
        async with Loopback(delay=0.02, faults=faults) as service:
            told = None
            async with asyncio.timeout(BOUND):
                try:
                    session = await stream(clip, service=service, record=path, **how)
                except StreamError as failure:
                    session, told = failure.session, str(failure)
                assert asyncio.all_tasks() == {asyncio.current_task()}
        return Outcome(session, told)

    with nothing_remains():
        outcome = asyncio.run(run())
    session = outcome.session
    assert load_session(path) == session
    assert [chunk.index for chunk in session.chunks] == list(range(len(session.chunks)))
    edges = [0, *(chunk.stop for chunk in session.chunks)]
    assert [chunk.start for chunk in session.chunks] == edges[:-1]
    assert session.ending is not None
    assert (session.ending.error or None) == outcome.error
    assert [event.name for event in session.events][-1:] in (["closed"], ["connecting"])
    assert session.settings.service["faults"] == list(map(str, read_faults(faults)))
    return outcome


LOST = ("broke without a close frame", "Check the network and try again")
NO_BEGIN = ("no Begin within 0.3 s", "check the status of the service")
EARLY = ("closed the session early", "Try again")
BRIEFLY = {"begin_timeout": 0.3}


@linux
@pytest.mark.parametrize(
    ("faults", "how", "told", "least"),
    [
        ("refuse", {}, ("HTTP status 503", "takes no more", "Try again later"), 0),
        ("refuse=401", {}, ("does not know this API key", "Copy the key again"), 0),
        ("no_answer", BRIEFLY, ("did not reply within 0.3 s", "begin_timeout"), 0),
        ("garbage", {}, ("valid HTTP response", "Check the network"), 0),
        ("drop", {}, (*LOST, "Tried 3 times"), 0),
        ("close=1013", {}, ("overloaded", "Try again", "Tried 3 times"), 0),
        ("error=1008", {}, ("does not know this API key", "Copy the key again"), 0),
        ("error=3009", {}, ("opened faster than", "Wait at least 60 s"), 0),
        ("no_begin", BRIEFLY, NO_BEGIN, 0),
        ("late_begin=60", BRIEFLY, NO_BEGIN, 0),
        ("mute", BRIEFLY, NO_BEGIN, 0),
        ("termination", {}, EARLY, 1),
        ("drop@0.2", {}, LOST, 2),
        ("close=1011@0.2", {}, ("The service failed", "Try again later", "code 1011"), 2),
        ("error=3007@0.2", {}, ("faster than real time", "pacing='wall_clock'"), 2),
        ("termination@0.2", {}, EARLY, 2),
        ("garbage@0.2", {}, ("not a websocket message", "especially proxies"), 2),
        ("huge@0.2", {}, ("larger than rtkit accepts", "Check that the address"), 2),
        ("mute@0.2", {"termination_timeout": 0.3}, ("no Termination within", "try again"), 5),
        ("no_termination", {"termination_timeout": 0.3}, ("no Termination within", "again"), 5),
    ],
)
def test_what_ends_a_session_is_one_error_of_cause_and_cure(
    make_clip: MakeClip,
    tmp_path: Path,
    faults: str,
    how: dict[str, Any],
    told: tuple[str, ...],
    least: int,
) -> None:
    outcome = streamed(make_clip(0.5), tmp_path / "a.jsonl", faults, **how)
    session = outcome.session
    assert outcome.error is not None
    for words in told:
        assert words in outcome.error
    assert "\n" not in outcome.error
    assert session.ending is not None
    assert session.ending.how == "failed"
    # Whole up to that instant: what the service had heard was recorded as sent, and no more.
    assert least <= len(session.chunks) <= 5
    assert bool(session.chunks) is bool(least)
    assert "Tried" not in outcome.error or not session.chunks


@linux
def test_a_service_that_stops_reading_is_given_up(make_clip: MakeClip, tmp_path: Path) -> None:
    """It takes megabytes until a sender on the same machine feels it."""
    clip = make_clip(60.0, rate=96000)
    outcome = streamed(clip, tmp_path / "a.jsonl", "deaf@0.1", pacing="unpaced")
    assert outcome.error is not None
    assert "the service has stopped reading" in outcome.error
    assert "Try again" in outcome.error
    assert 0 < len(outcome.session.chunks) < 600


def kinds(session: Session) -> list[str]:
    return [
        reply.type if isinstance(reply, Other) else type(reply).__name__
        for _, reply in session.replies
    ]


@linux
@pytest.mark.parametrize(
    ("faults", "order"),
    [
        ("late_begin=0.3", ["Begin"]),
        ("turn", ["Turn", "Begin"]),
        ("begin@0.2", ["Begin", "Begin"]),
        ("unknown@0.2", ["Begin", "Chatter"]),
        ("bad_json@0.2", ["Begin", "unreadable"]),
        ("late_final", ["Begin", "Termination", "Turn"]),
        ("mute=0.3@0.2", ["Begin"]),
        ("deaf=0.3@0.2", ["Begin"]),
        ("slow_close", ["Begin", "Termination"]),
    ],
)
def test_what_can_be_borne_is_recorded_and_the_session_carries_on(
    make_clip: MakeClip, tmp_path: Path, faults: str, order: list[str]
) -> None:
    clip = make_clip(0.5, reference=HELLO)
    outcome = streamed(clip, tmp_path / "a.jsonl", faults)
    assert outcome.error is None
    assert outcome.session.complete
    assert outcome.session.transcript == "hello there"
    assert len(outcome.session.chunks) == 5
    came = iter(kinds(outcome.session))
    assert all(kind in came for kind in order), kinds(outcome.session)
    lost = [one.found for one in validity(outcome.session).problems if one.name == "lost"]
    assert bool(lost) is faults.startswith("bad_json")


@linux
def test_a_final_said_twice_is_one_turn(make_clip: MakeClip, tmp_path: Path) -> None:
    clip = make_clip(0.9, reference=HELLO)
    session = streamed(clip, tmp_path / "a.jsonl", "duplicate_finals").session
    said = [reply for _, reply in session.replies if isinstance(reply, Turn) and reply.transcript]
    assert len([turn for turn in said if turn.end_of_turn]) == 2
    assert session.complete
    assert session.transcript == "hello there"
    assert len(turn_latency(session).texts) == 1


@linux
@pytest.mark.parametrize(
    ("faults", "isolation"),
    [("dropx1", "loop"), ("close=1012x2", "loop"), ("error=3005x1", "process")],
)
def test_a_connection_that_fails_before_begin_is_tried_again(
    make_clip: MakeClip, tmp_path: Path, faults: str, isolation: str
) -> None:
    clip = make_clip(0.5, reference=HELLO)
    outcome = streamed(clip, tmp_path / "a.jsonl", faults, isolation=isolation)
    session, times = outcome.session, int(faults[-1])
    assert session.complete
    assert session.transcript == "hello there"  # the later tries know the script, too
    assert [event.name for event in session.events].count("connecting") == times + 1
    assert all(event.at < 0 for event in session.events if event.name.startswith("connect"))


# How often, how soon, and when not: exactly, in virtual time.


class Flaky:
    """A service whose connections are these, one after another."""

    def __init__(self, *timelines: list[tuple[float, str | bytes | Closed]]) -> None:
        self._left = list(timelines)
        self.opened: list[float] = []
        self.connections: list[Scripted] = []

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        return Endpoint("ws://127.0.0.1/v3/ws", {})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return {"name": "flaky"}

    async def open(self, *_: object) -> Scripted:
        now = virtual_loop().time()
        self.opened.append(now)
        timeline = [(now + after, told) for after, told in self._left.pop(0)]
        self.connections.append(Scripted(timeline, NORMAL))
        return self.connections[-1]


def opened(
    clip: Clip, monkeypatch: pytest.MonkeyPatch, service: Flaky, **how: Any
) -> tuple[list[float], Session, str | None]:
    """When the service was connected to, and how the session ended."""
    monkeypatch.setattr(connecting, "open_websocket", service.open)

    async def run() -> tuple[Session, str | None]:
        try:
            return await stream(clip, service=service, **how), None
        except StreamError as failure:
            return failure.session, str(failure)

    session, told = simulate(run())
    assert all(connection.closed for connection in service.connections)
    return service.opened, session, told


CUT: list[tuple[float, str | bytes | Closed]] = [(0.2, Closed(None))]
WELL: list[tuple[float, str | bytes | Closed]] = [(0.1, BEGIN)]
TOO_MANY = "Unauthorized Connection: Too many concurrent sessions"


def test_the_pauses_grow_and_the_tries_end(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(0.5)
    times, session, told = opened(clip, monkeypatch, Flaky(CUT, CUT, CUT, WELL))
    pauses = connecting.PAUSES
    assert len(times) == 1 + len(pauses) == 3
    for before, after, pause in zip(times[:-1], times[1:], pauses, strict=True):
        assert before + 0.2 + pause <= after <= before + 0.2 + 1.25 * pause
    assert told is not None
    assert told.endswith("Tried 3 times.")
    assert session.chunks == ()
    names = [event.name for event in session.events]
    assert names == ["connecting", "connected", "closed"] * 3


def test_time_starts_with_the_try_that_succeeds(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    times, session, told = opened(make_clip(0.5), monkeypatch, Flaky(CUT, CUT, WELL))
    assert told is None
    assert session.complete
    assert session.zero == pytest.approx(times[-1] + 0.1)
    assert session.lateness.tolist() == pytest.approx([0.0] * 5)


@pytest.mark.parametrize(
    "ended",
    [
        [(0.2, error(1008, "Unauthorized Connection: Invalid API key")), (0.2, Closed(1008))],
        [(0.2, error(3006, "Invalid 'sample_rate': 1")), (0.2, Closed(3006))],
        [(0.2, Closed(1000))],
        [(0.2, error(3009, TOO_MANY)), (0.2, Closed(3009))],  # within a minute, it cannot help
        [(11.0, BEGIN)],  # all the patience is used up
        [(0.1, BEGIN), (0.4, Closed(None))],
        [(0.1, BEGIN), (0.4, Closed(1012))],
        [(0.1, BEGIN), (0.4, error(3005, "Session Cancelled")), (0.4, Closed(3005))],
    ],
)
def test_what_trying_again_cannot_fix_or_would_falsify_is_not_tried_again(
    make_clip: MakeClip,
    monkeypatch: pytest.MonkeyPatch,
    ended: list[tuple[float, str | bytes | Closed]],
) -> None:
    times, session, told = opened(make_clip(1.0), monkeypatch, Flaky(ended, WELL))
    assert len(times) == 1
    assert told is not None
    assert "Tried" not in told
    assert not session.complete


def test_too_many_sessions_are_waited_for_by_who_has_the_patience(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    crowded: list[tuple[float, str | bytes | Closed]] = [
        (0.2, error(1008, TOO_MANY)),
        (0.2, Closed(1008)),
    ]
    service = Flaky(crowded, WELL)
    times, session, _ = opened(make_clip(0.5), monkeypatch, service, begin_timeout=120.0)
    assert 60.2 <= times[1] - times[0] <= 75.2
    assert session.complete


def test_a_session_cancelled_between_two_tries_is_gone_at_once(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, service = make_clip(0.5), Flaky(CUT, WELL)
    monkeypatch.setattr(connecting, "open_websocket", service.open)

    async def run() -> None:
        task = asyncio.create_task(stream(clip, service=service))
        await asyncio.sleep(0.25)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert virtual_loop().time() == pytest.approx(0.25)

    simulate(run())
    assert len(service.opened) == 1


# How faults are written.


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("drop", Written("drop")),
        ("drop@2.5", Written("drop", at=2.5)),
        ("refuse=429x2", Written("refuse", 429, times=2)),
        (" late_begin=0.5 ", Written("late_begin", 0.5)),
        ("close=3008@10x1", Written("close", 3008, 10, 1)),
    ],
)
def test_a_fault_is_read_as_it_is_written(text: str, fault: Written) -> None:
    assert read_faults(text) == (fault,)
    assert read_faults(str(fault)) == (fault,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "is not a fault; write NAME"),
        ("drop@", "is not a fault"),
        ("drop@-1", "is not a fault"),
        ("explode", "unknown fault 'explode'; one of 'refuse',"),
        ("drop=3", "drop takes no value"),
        ("refuse=200", "from 400 to 599"),
        ("no_begin@3", "does not happen at a given time"),
        ("close=1006", "1006 is not a close code"),
        ("dropx0", "x0 applies to no session"),
    ],
)
def test_a_fault_that_is_none_is_refused_at_once(text: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Loopback(faults=text)


@pytest.mark.parametrize("name", FAULTS)
def test_every_fault_can_be_written_and_tells_what_it_does(name: str) -> None:
    assert str(read_faults(name)[0]).startswith(name)
    assert FAULTS[name].does
