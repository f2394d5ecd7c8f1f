"""`stream`: one paced session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from rtkit.audio import Clip, check_clip
from rtkit.pacing import Plan
from rtkit.sending.connect import Way, fitted, way_through, way_to
from rtkit.sending.loop import run_session
from rtkit.sending.options import Calibration, Options, settings_of
from rtkit.services.service import Connection, Service, Vendor
from rtkit.session import Fact, Session

__all__ = ["check_sides", "stream", "stream_plan"]


async def stream(
    clip: Clip,
    *,
    pacing: str = "wall_clock",
    chunk: float = 0.1,
    phase: str = "end",
    catch_up: float | None = None,
    work: float | Callable[[bytes], object] = 0.0,
    blocks: Sequence[tuple[float, float]] = (),
    isolation: str = "loop",
    service: Service | None = None,
    connection: Connection | None = None,
    calibration: Calibration | None = None,
    record: str | Path | None = None,
    on_event: Callable[[Fact], object] | None = None,
    begin_timeout: float = 10.0,
    termination_timeout: float = 10.0,
) -> Session:
    """Stream a clip to a service in real time, and return the session.

    Parameters
    ----------
    clip : Clip
        From `rtkit.open_clip`.
    pacing : {"wall_clock", "fixed_sleep", "unpaced"}
        How the sender decides when to send.
    chunk : float
        Seconds of audio per message, 0.05 to 1.
    phase : {"end", "start"}
        Whether a chunk is due when its last sample would have been spoken, or its first.
    catch_up : float, optional
        With ``"wall_clock"``: the maximum speed after a stall, as a multiple of real time;
        unlimited by default.
    work : float or callable
        What the sender does after each chunk: seconds to wait without blocking the loop, or a
        function, which is called in the loop with the chunk's bytes and may block it. If it returns
        an awaitable, that is awaited.
    blocks : sequence of (float, float)
        Stalls on demand, as (instant, duration): the caller's loop is blocked for that long.
    isolation : {"loop", "thread", "process"}
        Where the sender runs: in the caller's loop, in a thread with its own loop, or in a child
        process, which a busy notebook cannot delay. A `work` function runs there, too, and is not
        possible with a process.
    service : optional
        For example `rtkit.AssemblyAI` or `rtkit.Loopback`; by default, the embedded service.
    connection : optional
        An open connection, instead of a service.
    calibration : Calibration, optional
        From `rtkit.calibrate`, to save rtkit's own error with the session.
    record : str or Path, optional
        The file that facts are written to as they happen. An older file of that name is replaced
        only by a complete session; any other session is kept beside it, as ``NAME-2.jsonl`` and so
        on.
    on_event : callable, optional
        Called in the loop with each fact as it is recorded; must return quickly.
    begin_timeout, termination_timeout : float
        Seconds to wait for the session to begin, and for its last message once the audio would have
        been spoken. A connection that fails before the session begins is retried where that can
        help, at most twice and within `begin_timeout`. A session that has begun is never retried.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If a parameter is out of range, or another session writes to `record`. Nothing was sent.
    StreamError
        If the service cannot be reached, refuses, breaks the connection or stops responding, or the
        file cannot be written. Its `session` holds what was recorded.

    Notes
    -----
    Cancelling the task ends the session properly; the file, if any, holds what happened up to then.
    """
    # What cannot be is refused before anything is sent, a service started or a file replaced.
    check_sides(clip, service)
    clip = fitted(clip, service, connection)
    way = way_to(service, clip) if connection is None else way_through(connection)
    plan = Plan.of(
        clip, chunk=chunk, pacing=pacing, phase=phase, catch_up=catch_up, limits=way.dialect.limits
    )
    options = Options(
        work=work,
        blocks=blocks,
        isolation=isolation,
        calibration=calibration,
        record=record,
        on_event=on_event,
        begin_timeout=begin_timeout,
        termination_timeout=termination_timeout,
    )
    return await stream_plan(clip, plan, options, way)


async def stream_plan(clip: Clip, plan: Plan, options: Options, way: Way) -> Session:
    """`stream`, by a plan, with options and on a way that are made already."""
    settings = settings_of(clip, plan, way.described, options)
    if options.isolation == "loop":
        return await run_session(clip, plan, settings, options, way)
    if way.service is None:
        raise ValueError(
            f"isolation={options.isolation!r} opens its own connection; give a service instead"
        )
    if options.isolation == "thread":
        from rtkit.sending.thread import run_in_thread

        return await run_in_thread(clip, plan, settings, options, way)
    from rtkit.sending.process import run_in_process

    return await run_in_process(clip, plan, settings, options, way.service)


def check_sides(clip: Clip, service: Service | None) -> None:
    """Refuse anything that is not a clip or a service, and a service without a key."""
    check_clip(clip)
    if service is not None and (isinstance(service, type) or not hasattr(service, "connect_info")):
        raise TypeError(
            f"{service!r} is not a service; give an instance, such as rtkit.AssemblyAI() or "
            f"rtkit.Loopback()"
        )
    if isinstance(service, Vendor):
        service.find_key()
