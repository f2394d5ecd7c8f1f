"""Several services and the same clip: at the same time, or in turn, under the names given."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken
from doubles import speaking
from facts import CALL, session

import rtkit
from rtkit.analysis.timing.latency import turn_latency, word_latency
from rtkit.audio import Clip, open_clip
from rtkit.experiments import compare as comparison
from rtkit.experiments import many
from rtkit.experiments.compare import compare
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.recording import StreamError
from rtkit.sending.connect import Way, way_through
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import dialect_named
from rtkit.session import Session

SAID = spoken(("Hello", 0.05, 0.2), ("there.", 0.25, 0.4))


class Double:
    """A service in memory, of some dialect, with a delay of its own."""

    def __init__(self, dialect: str, delay: float, **more: Any) -> None:
        self.dialect, self.delay, self.more = dialect, delay, more

    async def connect_info(self, rate: int, reference: object) -> Endpoint:
        raise NotImplementedError

    def describe(self, reference: object) -> dict[str, Any]:
        return {"name": self.dialect, "dialect": self.dialect}

    def way(self, clip: Clip) -> Way:
        script = clip.reference
        assert script is not None
        limits = dialect_named(self.dialect).limits
        return way_through(
            InMemoryConnection(
                lambda rate: Script(script, rate),
                rate=limits.rates[0] if limits.resampled and limits.rates else clip.rate,
                behavior=Behavior(self.delay, **self.more),
                dialect=self.dialect,
            )
        )


DOUBLES = {
    "A": Double("assemblyai", 0.1),
    "D": Double("deepgram", 0.2),
    "O": Double("openai", 0.3),
    "S": Double("speechmatics", 0.4),
}


@pytest.fixture
def in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many, "way_to", lambda service, clip: service.way(clip))


def test_all_hear_the_same_audio_at_the_same_time(in_memory: None, tmp_path: Path) -> None:
    clip = open_clip(CALL, seconds=12)
    sessions = simulate(compare(clip, services=DOUBLES, record=tmp_path))
    assert list(sessions) == ["A", "D", "O", "S"]
    for name, one in sessions.items():
        assert one.complete
        assert one.settings.dialect == DOUBLES[name].dialect
        assert one.lateness == pytest.approx(np.zeros(120), abs=1e-6)
        words = word_latency(one)
        assert words.service_time[words.counted] == pytest.approx(
            np.full(words.counted.sum(), DOUBLES[name].delay), abs=1e-3
        )
        assert rtkit.load_session(tmp_path / f"{name}.jsonl").replies == one.replies
    zeros = [one.zero for one in sessions.values()]
    assert 0 < max(zeros) - min(zeros) < 0.1  # none waits for another, and all within a chunk
    assert min(abs(one - other) for one in zeros for other in zeros if one is not other) > 0.01
    assert sessions["O"].settings.resampled_from == 16000
    waits = {name: np.median(turn_latency(one).service_time) for name, one in sessions.items()}
    assert sorted(waits, key=waits.__getitem__) == ["A", "D", "O", "S"]
    table = str(rtkit.summarize(sessions))
    assert table.split("\n")[0].split() == ["A", "D", "O", "S"]


def test_what_is_the_same_audio_is_read_once(
    in_memory: None, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, chunks = [], Clip.chunks

    def count(self: Clip, *how: Any) -> Any:
        read.append(self)
        return chunks(self, *how)

    monkeypatch.setattr(Clip, "chunks", count)
    same = {name: Double("assemblyai", 0.1) for name in "abcde"}
    simulate(compare(make_clip(1.0, reference=SAID), services=same))
    assert len(read) == 1


def test_one_that_fails_costs_the_others_nothing(in_memory: None, make_clip: MakeClip) -> None:
    clip = make_clip(2.0, reference=SAID)
    broken = {**DOUBLES, "D": Double("deepgram", 0.2, max_duration=0.5)}
    with pytest.raises(StreamError, match="NET-0000") as failure:
        simulate(compare(clip, services=broken))
    sessions = failure.value.sessions
    assert {name: one.complete for name, one in sessions.items()} == {
        "A": True,
        "D": False,
        "O": True,
        "S": True,
    }


@pytest.mark.parametrize("concurrent", [True, False])
def test_the_first_that_fails_is_known_by_its_services_name(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, concurrent: bool
) -> None:
    async def refused(clips: Any, **how: Any) -> Session:
        raise StreamError("refused", session())

    for name in ("stream", "stream_many"):
        monkeypatch.setattr(comparison, name, refused)
    with pytest.raises(StreamError) as failure:
        simulate(compare(make_clip(0.5), services={"A": DOUBLES["A"]}, concurrent=concurrent))
    assert list(failure.value.sessions) == ["A"]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_in_turn_the_order_is_random_and_repeatable(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ran: list[tuple[str, str]] = []

    async def noted(clip: Clip, *, pacing: str, service: Double, **how: Any) -> str:
        ran.append((service.dialect, pacing))
        return f"{service.dialect} {pacing}"

    monkeypatch.setattr(comparison, "stream", noted)
    how: dict[str, Any] = {"pacings": ("wall_clock", "fixed_sleep"), "concurrent": False}
    clip = make_clip(0.5)
    for _ in range(2):
        found: dict[str, Any] = simulate(compare(clip, services=DOUBLES, seed=seed, **how))
    assert ran[:8] == ran[8:]
    assert ran[:8] != sorted(ran[:8])
    assert list(found) == [f"{name}, {p}" for name in DOUBLES for p in how["pacings"]]
    assert found["O, fixed_sleep"] == "openai fixed_sleep"


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (
            {"pacings": "fixed_sleep"},
            "are paced by the wall clock; for other pacings, give concurrent",
        ),
        ({"work": 0.01}, "have no work; give concurrent=False, or only chunk, phase"),
        ({"service": DOUBLES["A"]}, "give services or service, not both"),
        ({"services": {"a b": DOUBLES["A"], "a-b": DOUBLES["D"]}, "record": "x"}, "give them oth"),
        ({"services": {"D": rtkit.Deepgram()}}, "DEEPGRAM_API_KEY"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_sent(
    make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, how: dict[str, Any], words: str
) -> None:
    monkeypatch.delenv("DEEPGRAM_API_KEY", raising=False)
    with pytest.raises(ValueError, match=words):
        simulate(compare(make_clip(0.5), **{"services": DOUBLES, **how}))


def test_names_and_services_belong_together(make_clip: MakeClip) -> None:
    wrong: Any = [DOUBLES["A"]]
    with pytest.raises(TypeError, match="services needs names"):
        simulate(compare(make_clip(0.5), services=wrong))


async def over_sockets(clip: Clip) -> dict[str, Session]:
    async with contextlib.AsyncExitStack() as stack:
        how: dict[str, Any] = {"script": SAID, "max_speed": 1.25}
        hosts = [
            await stack.enter_async_context(speaking(name, **how))
            for name in ("deepgram", "soniox")
        ]
        return await compare(
            clip,
            services={
                "one": rtkit.Deepgram("sesame", host=f"ws://{hosts[0]}"),
                "two": rtkit.Soniox("sesame", host=f"ws://{hosts[1]}"),
            },
        )


def test_two_vendors_over_sockets(make_clip: MakeClip) -> None:
    sessions = rtkit.run(over_sockets(make_clip(0.8, reference=SAID)))
    assert {name: one.transcript.lower() for name, one in sessions.items()} == {
        "one": "hello there",
        "two": "hello there.",
    }
    assert "Soniox" in json.dumps(dict(sessions["two"].settings.service))
