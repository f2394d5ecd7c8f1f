"""One session in the running loop, from start to end."""

from __future__ import annotations

import asyncio

from rtkit.audio import Clip
from rtkit.pacing import Plan
from rtkit.recording import Recorder, StreamError
from rtkit.sending.connect import Way
from rtkit.sending.options import Options, Shutdown, host
from rtkit.sending.run import Run
from rtkit.sending.send import send_clip
from rtkit.sending.websocket import Failure
from rtkit.session import Session, Settings

__all__ = ["run_session"]


async def run_session(
    clip: Clip, plan: Plan, settings: Settings, options: Options, way: Way
) -> Session:
    """One session in the running loop; `stream` tells the rest."""
    run = Run(
        Recorder(
            settings,
            host(),
            clip.reference,
            path=options.record,
            on_event=options.on_event,
            tee=options.tee,
        )
    )
    failed: Failure | None = None
    stopped: asyncio.CancelledError | None = None
    try:
        async with run.ending():
            conversation = await way.open(run, options.begin_timeout)
            await send_clip(run, conversation, clip, plan, options.work)
            if options.shutdown is Shutdown.WAIT:
                await run.terminate(conversation, options.termination_timeout)
            elif options.shutdown is Shutdown.HASTY:
                await conversation.end(wait=False)
    except Failure as failure:
        failed = failure
    except asyncio.CancelledError as interruption:
        stopped = asyncio.CancelledError(*interruption.args)
    # Out here, neither carries along what the network held, key and all.
    if stopped is not None:
        path = run.recorder.path
        kept = "give record=PATH to save the session" if path is None else f"its facts: {path}"
        stopped.add_note(f"The session was stopped after {run.audio_sent:.1f} s of audio; {kept}.")
        raise stopped
    if failed is not None:
        raise StreamError(str(failed), run.recorder.session()) from failed.__cause__
    return run.recorder.session()
