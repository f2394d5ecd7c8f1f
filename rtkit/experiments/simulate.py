"""The same sender, pacing and service in virtual time: three hours in some seconds.

Nothing is implemented twice: `simulate` runs `rtkit.stream` on a loop whose clock jumps, against
the embedded service's conversation over an in-memory connection.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from numbers import Real
from typing import Any

from rtkit.audio import Clip, silence
from rtkit.clock.alarm import sleep_until
from rtkit.clock.virtual import VirtualLoop
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy, Engine, Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.sending.stream import stream
from rtkit.session import Session

__all__ = ["simulate"]


def simulate(
    clip: Clip | float,
    *,
    chunk: float = 0.1,
    pacing: str = "wall_clock",
    phase: str = "end",
    catch_up: float | None = None,
    work: float = 0.001,
    work_spread: float = 0.0,
    wake: float = 0.0,
    wake_spread: float = 0.0,
    network: float = 0.0,
    network_spread: float = 0.0,
    blocks: Sequence[tuple[float, float]] = (),
    delay: float = 0.0,
    delay_spread: float = 0.0,
    seed: int = 0,
) -> Session:
    """Stream in virtual time and return the facts, exact and repeatable.

    Everything takes no time but what is asked for. Each `X_spread` adds up to so many more
    seconds, drawn evenly from a generator seeded with `seed`.

    Parameters
    ----------
    clip : Clip or float
        A clip, or a number of seconds of silence.
    chunk, pacing, phase, catch_up
        As for `rtkit.stream`.
    work : float
        Seconds of work after each chunk.
    wake : float
        Seconds by which the sender's timer wakes it too late.
    network : float
        Seconds that anything takes to the other side; nothing overtakes.
    blocks : sequence of (float, float)
        Blocks the sender's loop at these instants, for so many seconds.
    delay : float
        Seconds from the service's hearing to its answer.
    seed : int
        Of all that is drawn.

    Returns
    -------
    Session
        Its `settings.service` holds under ``"simulated"`` what was asked for.

    Raises
    ------
    ValueError
        If a parameter is out of range.
    StreamError
        If the service refuses; as `rtkit.stream` does.

    Notes
    -----
    Blocks until it is done, on a thread with a loop of its own, so that it works in a notebook.
    """
    models = {
        "work": work,
        "work_spread": work_spread,
        "wake": wake,
        "wake_spread": wake_spread,
        "network": network,
        "network_spread": network_spread,
    }
    for name, value in models.items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"{name}={value:g} is no duration; give seconds of 0 or more")
    if isinstance(clip, Real):
        clip = silence(float(clip))
    if not isinstance(clip, Clip):
        raise TypeError(
            f"{clip!r} is neither a clip nor a number of seconds; give rtkit.open_clip(PATH), or "
            "60 for a minute of silence"
        )
    generator = random.Random(seed)

    def model(base: float, delay_spread: float) -> Callable[[], float]:
        return (
            (lambda: base + generator.uniform(0, delay_spread)) if delay_spread else (lambda: base)
        )

    working = model(work, work_spread)

    async def some_work(_: bytes) -> None:
        await sleep_until(asyncio.get_running_loop().time() + working())

    async def session() -> Session:
        return await stream(
            clip,
            chunk=chunk,
            pacing=pacing,
            phase=phase,
            catch_up=catch_up,
            work=some_work if work_spread else work,
            blocks=blocks,
            connection=InMemoryConnection(
                _engine(clip),
                rate=clip.rate,
                # The arithmetic of a long session does not end where the service's patience does.
                behavior=Behavior(
                    delay=delay, delay_spread=delay_spread, seed=seed, max_duration=None
                ),
                network=model(network, network_spread),
            ),
        )

    simulated = _in_a_thread(session, model(wake, wake_spread))
    service = {**simulated.settings.service, "simulated": {**models, "seed": seed}}
    return replace(simulated, settings=replace(simulated.settings, service=service))


def _engine(clip: Clip) -> Callable[[int], Engine]:
    reference = clip.reference
    return Energy if reference is None else (lambda rate: Script(reference, rate))


def _in_a_thread(
    session: Callable[[], Coroutine[Any, Any, Session]], wake: Callable[[], float]
) -> Session:
    """Run it on a virtual loop of its own: the caller may sit in a running loop."""
    outcome: Future[Session] = Future()

    def run() -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: VirtualLoop(wake)) as runner:
                outcome.set_result(runner.run(session()))
        except BaseException as error:
            outcome.set_exception(error)

    thread = threading.Thread(target=run, name="rtkit-simulate", daemon=True)
    thread.start()
    thread.join()
    return outcome.result()
