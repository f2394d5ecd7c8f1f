"""What the tests share: virtual time, clips made on the spot, and where the real speech lies."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from rtkit.audio import Clip, open_clip
from rtkit.clock.virtual import VirtualLoop
from rtkit.reference import Reference, SpokenTurn, SpokenWord

T = TypeVar("T")
MakeClip = Callable[..., Clip]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Notebooks and browsers first: the longest files must not be left to one worker at the end."""
    items.sort(key=lambda item: item.path.parent.name != "whole")


def simulate(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run in virtual time, and see that no task and no timer outlives it."""

    async def alone() -> T:
        try:
            return await coroutine
        finally:
            assert asyncio.all_tasks() == {asyncio.current_task()}
            timers = getattr(virtual_loop(), "_scheduled")  # noqa: B009
            assert [timer for timer in timers if not timer.cancelled()] == []

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(alone())


def virtual_loop() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


def spoken(*words: tuple[str, float, float]) -> Reference:
    """A reference of one turn with these words: text, start, end."""
    said = tuple(SpokenWord(*word) for word in words)
    text = " ".join(word.text for word in said)
    return Reference((SpokenTurn(said[0].start, said[-1].end, text, said),))


@pytest.fixture
def make_clip(tmp_path: Path) -> MakeClip:
    """A clip of so many seconds, quiet noise, in a file of its own."""

    def make(seconds: float = 1.0, *, rate: int = 8000, reference: Reference | None = None) -> Clip:
        path = tmp_path / f"noise-{seconds:g}s-{rate}.wav"
        noise = np.random.default_rng(0).integers(-30, 30, round(seconds * rate), dtype=np.int16)
        soundfile.write(path, noise, rate, subtype="PCM_16")
        return replace(open_clip(path), reference=reference)

    return make


@pytest.fixture(scope="session")
def samples() -> Path:
    """The folder with real speech, which lies beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "samples"
    if not folder.is_dir():
        sentence = f"The recordings of real speech are not there: no folder {folder}."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return folder


@pytest.fixture(params=["", "through the tap"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """How `doubles.speaking` is reached: directly, and through a tap."""
    monkeypatch.setenv("THROUGH_THE_TAP", request.param)
