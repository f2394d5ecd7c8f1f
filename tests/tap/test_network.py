"""A bad network on demand: exact, as arithmetic, and once through a tap."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

import numpy as np
import pytest
from conftest import MakeClip
from doubles import KEY, SDK_SCRIPT, speaking

import rtkit
from rtkit.tap.network import read_network
from rtkit.tap.tap import Tap


@pytest.mark.parametrize(
    ("written", "leaves"),
    [
        ((), [0, 1, 2, 3]),
        (["up.delay=0.25"], [0.25, 1.25, 2.25, 3.25]),
        (["delay=0.25", "down.delay=9"], [0.25, 1.25, 2.25, 3.25]),
        (["up.rate=50"], [2, 4, 6, 8]),
        (["up.stall=1.5@1"], [0, 2.5, 2.5, 3]),
        (["up.delay=0.5", "up.stall=1@1.2"], [0.5, 2.2, 2.5, 3.5]),
        (["up.drop@3", "down.drop@1"], [0, 1, 2, 3]),
    ],
)
def test_bytes_go_on_when_the_network_lets_them(written: list[str], leaves: list[float]) -> None:
    network = read_network(written, "up")
    assert [network.leaves(float(at), 100) for at in range(4)] == pytest.approx(leaves)
    assert network.drop == (3 if "up.drop@3" in written else np.inf)


def test_what_is_drawn_keeps_the_order_and_comes_again_with_its_seed() -> None:
    one, same, other = (read_network(["spread=2"], "up", seed=seed) for seed in "aab")
    found = [one.leaves(at / 10, 1) for at in range(100)]
    assert found == sorted(found)
    assert all(at / 10 <= leaves <= at / 10 + 2.1 for at, leaves in enumerate(found))
    assert found == [same.leaves(at / 10, 1) for at in range(100)]
    assert found != [other.leaves(at / 10, 1) for at in range(100)]


@pytest.mark.parametrize(
    "written", ["delay", "delay=", "left.delay=1", "stall=1", "drop=1", "?", "delay=1.1.1"]
)
def test_what_is_no_fault_is_refused(written: str) -> None:
    with pytest.raises(
        ValueError, match="is not a network fault; give delay=SECONDS, spread=SECONDS"
    ):
        Tap("ws://127.0.0.1:9", faults=[written])


def seen(clip: rtkit.Clip, *faults: str) -> rtkit.Session:
    async def run() -> Tap:
        async with speaking("assemblyai") as host, Tap(f"ws://{host}", faults=faults) as tap:
            there = rtkit.AssemblyAI(key=KEY, host=tap.url)
            with contextlib.suppress(rtkit.StreamError):
                await rtkit.stream(clip, service=there, chunk=0.05)
        return tap

    return asyncio.run(run()).sessions[0]


def test_the_network_s_part_is_in_the_latency_and_each_fact_tells_its_own(
    make_clip: MakeClip,
) -> None:
    clip = make_clip(1.0, reference=SDK_SCRIPT)
    session = seen(clip, "up.delay=0.1", "down.delay=0.2")
    assert session.complete
    delays = [one.returned - one.sent for one in session.chunks]
    assert len(delays) == 20
    assert min(delays) == pytest.approx(0.1, abs=0.05)  # a busy machine only adds to it
    words = rtkit.word_latency(session)
    assert np.median(words.latency) > 0.25
    judged = rtkit.validity(session)  # that it was slow on request is no fault of the session
    held = ("to pass the tap", "waited in the tap")
    assert not any(one in problem.found for problem in judged.problems for one in held)
    assert "The network was made worse on request (up.delay=0.1, down.delay=0.2)." in judged.notes
    unasked = {**session.settings.service, "network_faults": []}
    settings = replace(session.settings, service=unasked)
    judged = rtkit.validity(replace(session, settings=settings))
    assert any("ms to pass the tap, more than" in problem.found for problem in judged.problems)


def test_a_connection_breaks_when_it_is_told_to(make_clip: MakeClip) -> None:
    session = seen(make_clip(1.0), "drop@0.5")
    assert session.ending is not None
    assert session.ending.how != "complete"
    assert 1 <= len(session.chunks) < 20
