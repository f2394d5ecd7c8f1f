"""Sending a clip, each chunk when its pacing says."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
from collections.abc import Callable, Iterator
from itertools import pairwise

from rtkit.audio import Clip, Meter, is_wav
from rtkit.clock.alarm import Alarm, sleep_until
from rtkit.clock.garbage import without_old_objects
from rtkit.pacing import Plan
from rtkit.sending.kernel import LONG
from rtkit.sending.listen import Conversation
from rtkit.sending.run import Run
from rtkit.session import Chunk

__all__ = ["send_clip"]

Work = float | Callable[[bytes], object]


async def send_clip(
    run: Run, conversation: Conversation, clip: Clip, plan: Plan, work: Work
) -> None:
    """Start the time, and send the clip by its plan; `work` is done after each chunk."""
    meter = Meter(clip.rate)
    audio = clip.chunks(plan.edges, meter)
    try:
        with without_old_objects:
            await run.sending(conversation, _send(run, conversation, audio, plan, work))
    finally:
        audio.close()  # or an error that is kept would keep the recording open
        for level in meter.levels():
            run.recorder.add(level)


async def _send(
    run: Run, conversation: Conversation, audio: Iterator[bytes], plan: Plan, work: Work
) -> None:
    pace, due, least = plan.pace, plan.due.tolist(), plan.least  # plain numbers
    loop, outlet, record = asyncio.get_running_loop(), run.outlet, run.recorder.add
    send, travels = conversation.connection.send, conversation.dialect.audio
    kernel = conversation.kernel
    with contextlib.closing(Alarm()) as alarm:
        # The first chunk is read before time starts, because opening a file can take long; each
        # next one is read right after a send, while there is time.
        payload = next(audio)
        if is_wav(payload):
            run.timeline.event("wav header")
        payload = payload.ljust(least, b"\0")
        frame = travels(payload)
        await alarm.learn()
        zero = loop.time()
        run.start(zero, plan)
        alarm.timer.expect = run.look_out()
        sent = 0.0
        for index, (start, stop) in enumerate(pairwise(plan.edges.tolist())):
            when = due[index]
            if index > 0:
                when = pace(loop.time() - zero, when, due[index - 1], sent)
            if plan.pacing == "fixed_sleep":
                await alarm.roughly(zero + when)  # as people's own loops are woken
            else:
                await alarm.near(zero + when)
            unacknowledged, window = kernel.outgoing()  # what it finds cold is warm for the send
            alarm.reach(zero + when)
            outlet.leaving = loop.time()
            await send(frame)
            returned = loop.time() - zero
            sent, outlet.leaving = outlet.leaving - zero, None
            left = kernel.left(zero + sent, zero + returned) if returned - sent > LONG else None
            record(
                Chunk(
                    index,
                    start,
                    stop,
                    due[index],
                    sent,
                    returned,
                    len(payload),
                    len(payload) - 2 * (stop - start),
                    unacknowledged,
                    window,
                    None if left is None else left - zero,
                )
            )
            conversation.chunks_sent = index + 1
            if callable(work):
                result = work(payload)
                if inspect.isawaitable(result):
                    await result
            elif work:
                await sleep_until(loop.time() + work)
            payload = next(audio, b"").ljust(least, b"\0")
            frame = travels(payload)
