"""Whole sessions with the embedded service, in any dialect, in memory and in virtual time."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import spoken

from rtkit.audio import Clip
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.loopback.replay import Record
from rtkit.loopback.server import serve_loopback
from rtkit.sending.stream import stream
from rtkit.services.service import dialect_named
from rtkit.session import Session
from rtkit.tap.tap import Tap

TURNS: dict[str, Any] = {"deepgram": {"endpointing": 300}}


async def talk(
    clip: Clip,
    dialect: str,
    *,
    delay: float = 0.15,
    parameters: Mapping[str, Any] | None = None,
    network: float = 0.0,
    **how: Any,
) -> Session:
    """A session in which the service speaks the clip's reference."""
    script = clip.reference
    assert script is not None
    limits = dialect_named(dialect).limits
    rate = limits.rates[0] if limits.resampled and limits.rates else clip.rate
    connection = InMemoryConnection(
        lambda rate: Script(script, rate),
        rate=rate,
        behavior=Behavior(delay),
        dialect=dialect,
        parameters=parameters,
        network=lambda: network,
    )
    try:
        return await stream(clip, connection=connection, **how)
    finally:
        await connection.close()


async def replayed(clip: Clip, path: Path, **how: Any) -> Session:
    """A session with a service that replays the one in that file."""
    record = Record(path)
    limits = dialect_named(record.dialect).limits
    rate = limits.rates[0] if limits.resampled and limits.rates else clip.rate
    connection = InMemoryConnection(
        record, rate=rate, dialect=record.dialect, parameters=TURNS.get(record.dialect)
    )
    try:
        return await stream(clip, connection=connection, **how)
    finally:
        await connection.close()


def unmarked(session: Session) -> Session:
    """Without what the embedded service adds to any dialect, as a real one's would be."""

    def bare(text: str) -> str:
        return json.dumps({k: v for k, v in json.loads(text).items() if k != "loopback"})

    messages = [replace(one, text=bare(one.text), replies=None) for one in session.messages]
    return replace(session, messages=tuple(messages))


# For the vendors' own clients.

KEY = "sesame"
SDK_RATE = 8000
SDK_SCRIPT = spoken(
    ("Hello", 0.1, 0.3), ("there.", 0.35, 0.6), ("Good", 1.3, 1.6), ("bye.", 1.6, 1.9)
)


@contextlib.asynccontextmanager
async def speaking(protocol: str, log: Log | None = None, **options: Any) -> AsyncIterator[str]:
    """The embedded service on a port of this loop; it hears as fast as it is spoken to.

    By the fixture `way` it is reached through a tap, too.
    """
    how = {"script": SDK_SCRIPT, "delay": 0.0, "max_speed": 1e6, "key": KEY, **options}
    async with serve_loopback(0, Options(protocol=protocol, **how), log=log) as server:
        host = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        if not os.environ.get("THROUGH_THE_TAP"):
            yield host
            return
        async with Tap(f"ws://{host}") as tap:
            yield tap.url.removeprefix("ws://")


def silence(seconds: float, *, rate: int = SDK_RATE) -> list[bytes]:
    """Chunks of 0.1 s; a script speaks whatever is heard."""
    return [bytes(2 * rate // 10)] * round(10 * seconds)
