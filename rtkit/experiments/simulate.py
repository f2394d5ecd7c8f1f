"""The same sender, pacing and service in virtual time: three hours in a few seconds.

Nothing is implemented twice: `simulate` runs `rtkit.stream` on a loop whose clock jumps, against
the embedded service's conversation over an in-memory connection.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from numbers import Real
from typing import Any

from rtkit.audio import Clip, silence
from rtkit.boundary.values import check_numbers
from rtkit.clock.alarm import sleep_until
from rtkit.clock.thread import in_loop
from rtkit.clock.virtual import VirtualLoop
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy, Engine, Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.pacing import Plan
from rtkit.sending.connect import way_through
from rtkit.sending.options import Options
from rtkit.sending.stream import stream_plan
from rtkit.services.service import ASSEMBLYAI, dialect_named
from rtkit.session import Session

__all__ = ["Models", "simulate", "simulate_plan"]


def simulate(
    clip: Clip | float,
    *,
    chunk: float = 0.1,
    pacing: str = "wall_clock",
    phase: str = "end",
    catch_up: float | None = None,
    work: float = 0.001,
    work_spread: float = 0.0,
    overhead: float = 0.0,
    wake: float = 0.0,
    wake_spread: float = 0.0,
    network: float = 0.0,
    network_spread: float = 0.0,
    blocks: Sequence[tuple[float, float]] = (),
    delay: float = 0.0,
    delay_spread: float = 0.0,
    seed: int = 0,
) -> Session:
    """Stream a clip in virtual time, exactly and repeatably, and return the session.

    Nothing takes time unless you ask for it: a real naive sender falls behind even without work,
    but this one only by the `overhead` that you pass. Each `X_spread` adds a uniform random number
    of seconds up to its value, from a generator seeded with `seed`.

    Parameters
    ----------
    clip : Clip or float
        A clip, or a number of seconds of silence.
    chunk, pacing, phase, catch_up
        As for `rtkit.stream`.
    work : float
        Seconds of work after each chunk.
    overhead : float
        Seconds that the sender itself takes per chunk, besides the work. With naive pacing they add
        up; ``(await rtkit.calibrate()).overhead`` measures those of this machine.
    wake : float
        Seconds by which the sender's timer wakes it late.
    network : float
        One-way network delay, in seconds; the order is kept.
    blocks : sequence of (float, float)
        Stalls of the sender's loop, as (instant, duration) in seconds.
    delay : float
        Delay of the service from receiving audio to sending its result, in seconds.
    seed : int
        Seed of all random values.

    Returns
    -------
    Session
        Its `settings.service` holds the parameters, under ``"simulated"``.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    StreamError
        If the service refuses, as for `rtkit.stream`.

    Notes
    -----
    Blocks until done. It runs in a thread with its own loop, so it also works in a notebook.
    """
    if isinstance(clip, Real):
        clip = silence(float(clip))
    if not isinstance(clip, Clip):
        raise TypeError(
            f"{clip!r} is neither a clip nor a number of seconds; give rtkit.open_clip(PATH), or "
            "60 for a minute of silence"
        )
    plan = Plan.of(
        clip,
        chunk=chunk,
        pacing=pacing,
        phase=phase,
        catch_up=catch_up,
        limits=dialect_named(ASSEMBLYAI).limits,
    )
    models = Models(
        work=work,
        work_spread=work_spread,
        overhead=overhead,
        wake=wake,
        wake_spread=wake_spread,
        network=network,
        network_spread=network_spread,
        blocks=blocks,
        delay=delay,
        delay_spread=delay_spread,
        seed=seed,
    )
    return simulate_plan(clip, plan, models)


@dataclass(frozen=True, kw_only=True)
class Models:
    """What takes time in a simulated session, as `simulate` describes it.

    Raises
    ------
    ValueError
        If a value is out of range.
    """

    work: float = 0.001
    work_spread: float = 0.0
    overhead: float = 0.0
    wake: float = 0.0
    wake_spread: float = 0.0
    network: float = 0.0
    network_spread: float = 0.0
    blocks: Sequence[tuple[float, float]] = ()
    delay: float = 0.0
    delay_spread: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name, value in self.to_json().items():
            if name == "seed":
                continue
            check_numbers(**{name: value})
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}={value:g} is not a duration; give 0 or more seconds")
        Options(blocks=self.blocks)  # raises what is wrong with them

    def to_json(self) -> dict[str, Any]:
        """What a session records of them; the others are in its settings and its service."""
        told = [one.name for one in fields(self)]
        for elsewhere in ("blocks", "delay", "delay_spread"):
            told.remove(elsewhere)
        return {name: getattr(self, name) for name in told}


def simulate_plan(clip: Clip, plan: Plan, models: Models) -> Session:
    """`simulate`, by a plan and with models that are made already."""
    generator = random.Random(models.seed)

    def model(base: float, spread: float) -> Callable[[], float]:
        return (lambda: base + generator.uniform(0, spread)) if spread else (lambda: base)

    working = model(models.work + models.overhead, models.work_spread)

    async def some_work(_: bytes) -> None:
        await sleep_until(asyncio.get_running_loop().time() + working())

    work = some_work if models.work_spread else models.work + models.overhead
    options = Options(work=work, blocks=models.blocks)
    # The arithmetic of a long session does not end where the service's patience does.
    behavior = Behavior(
        delay=models.delay, delay_spread=models.delay_spread, seed=models.seed, max_duration=None
    )

    async def session() -> Session:
        connection = InMemoryConnection(
            _engine(clip),
            rate=clip.rate,
            behavior=behavior,
            network=model(models.network, models.network_spread),
        )
        return await stream_plan(clip, plan, options, way_through(connection))

    wake = model(models.wake, models.wake_spread)
    # The caller may sit in a running loop.
    found = in_loop("rtkit-simulate", session, lambda: VirtualLoop(wake)).result()
    service = {**found.settings.service, "simulated": models.to_json()}
    asked = found.settings.work if models.work_spread else models.work
    return replace(found, settings=replace(found.settings, service=service, work=asked))


def _engine(clip: Clip) -> Callable[[int], Engine]:
    reference = clip.reference
    return Energy if reference is None else (lambda rate: Script(reference, rate))
