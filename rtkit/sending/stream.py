"""`stream`: one paced session, from what was asked for to its facts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rtkit.audio import Clip
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.pacing import choose_pacing, chunk_edges, due_times
from rtkit.sending.run import run_session, settings_of
from rtkit.services.assemblyai import client as protocol
from rtkit.services.service import Connection, Service
from rtkit.session import Fact, Session

__all__ = ["Connection", "Service", "stream"]

ISOLATIONS = ("loop", "thread", "process")


class Calibration(Protocol):
    """What a session keeps of `rtkit.calibrate`."""

    def to_json(self) -> Mapping[str, Any]: ...


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
    """Stream a clip to a service, paced, and return the facts.

    Parameters
    ----------
    clip : Clip
        From `rtkit.open_clip`.
    pacing : {"wall_clock", "fixed_sleep", "unpaced"}
        How the sender decides when to send.
    chunk : float
        Seconds of audio a message, 0.05 to 1.
    phase : {"end", "start"}
        Whether a chunk is due when its last sample would have been spoken, or its first.
    catch_up : float, optional
        With ``"wall_clock"``: after a stall, send at no more than so many times real time.
    work : float or callable
        What the sender does after each chunk: seconds waited without blocking the loop, or a
        function that is called in the loop with the chunk's bytes, and may block it; what it
        returns is awaited if it can be.
    blocks : sequence of (float, float)
        Stalls on demand: at these instants, block the caller's loop for so many seconds.
    isolation : {"loop", "thread", "process"}
        Where the sender runs: in the caller's loop, in a thread with a loop of its own, or in a
        child process that a busy notebook cannot touch. `work` as a function runs there too, and
        cannot go to a process.
    service : optional
        `rtkit.AssemblyAI` or `rtkit.Loopback`; the embedded service without it.
    connection : optional
        A connection that is open already, in place of a service.
    calibration : Calibration, optional
        From `rtkit.calibrate`, to keep the instrument's own error with the session.
    record : str or Path, optional
        A file to write the facts to while they happen; an older file of that name is replaced.
    on_event : callable, optional
        Called in the loop with each fact as it is recorded; must return at once.
    begin_timeout, termination_timeout : float
        Seconds to wait for the service's first word, and for its last one once the audio would
        have been spoken. A connection that fails before the first word is tried again, twice at
        most and within `begin_timeout`, where that can help; a session that has begun never is.

    Returns
    -------
    Session

    Raises
    ------
    ValueError
        If a parameter is out of range; nothing was sent then.
    StreamError
        If the service cannot be reached, refuses, breaks off or falls silent; its `session`
        carries what was recorded.

    Notes
    -----
    Cancelling the task ends the session cleanly with Terminate; the file, if any, tells what
    happened up to then.
    """
    # What cannot be is refused before anything is sent, a service started or a file replaced.
    check_sides(clip, service)
    choose_pacing(pacing, catch_up=catch_up)
    due_times(chunk_edges(clip.samples, clip.rate, chunk), clip.rate, phase)
    if isolation not in ISOLATIONS:
        raise ValueError(
            f"unknown isolation {isolation!r}; one of {', '.join(map(repr, ISOLATIONS))}"
        )
    if isolation == "process" and callable(work):
        raise ValueError("isolation='process' takes work in seconds: a function stays behind")
    if not callable(work) and not 0 <= work < float("inf"):
        raise ValueError(f"work={work:g} is no duration; give seconds of 0 or more, or a function")
    for at, seconds in blocks:
        if not (0 <= at < float("inf") and 0 <= seconds < float("inf")):
            raise ValueError(
                f"blocks={list(blocks)!r}: each is (at, seconds), both of 0 or more seconds"
            )
    described: dict[str, Any] = {"name": "connection"}
    if isinstance(connection, InMemoryConnection):
        described = connection.describe()
    elif connection is None:
        if service is None:
            from rtkit.loopback.process import embedded

            service = embedded()
        described = service.describe(clip.reference)
    settings = settings_of(
        clip,
        chunk=float(chunk),
        pacing=pacing,
        phase=phase,
        catch_up=catch_up,
        work=getattr(work, "__name__", repr(work)) if callable(work) else float(work),
        blocks=tuple((float(at), float(seconds)) for at, seconds in blocks),
        isolation=isolation,
        service=described,
        calibration=None if calibration is None else calibration.to_json(),
    )
    if isolation == "loop":
        return await run_session(
            clip,
            settings,
            work=work,
            service=service,
            connection=connection,
            record=record,
            on_event=on_event,
            begin_timeout=begin_timeout,
            termination_timeout=termination_timeout,
        )
    if service is None:
        raise ValueError(f"isolation={isolation!r} opens its own connection; give a service")
    from rtkit.sending.isolation import run_in_process, run_in_thread

    run = run_in_thread if isolation == "thread" else run_in_process
    return await run(
        clip,
        settings,
        work=work,
        service=service,
        record=record,
        on_event=on_event,
        begin_timeout=begin_timeout,
        termination_timeout=termination_timeout,
    )


def check_sides(clip: Clip, service: Service | None) -> None:
    """Refuse what is no clip, no service, or a service without a key."""
    if not isinstance(clip, Clip):
        raise TypeError(f"{clip!r} is no clip; give rtkit.open_clip(PATH)")
    if service is not None and (isinstance(service, type) or not hasattr(service, "connect_info")):
        raise TypeError(
            f"{service!r} is no service; give rtkit.AssemblyAI() or rtkit.Loopback(), an instance"
        )
    if isinstance(service, protocol.AssemblyAI):
        service.find_key()
