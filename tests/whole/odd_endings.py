"""Clients, services and the tap itself gone at odd moments: every file readable, nothing left.

``python tests/whole/odd_endings.py [MOMENTS] [SEED]`` tries so many, all at the same time through
one tap, which is then killed, too; and prints what it found.
"""

# ruff: noqa: ASYNC110, ASYNC240 - it waits for processes and looks at their files
from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

sys.path.insert(0, str(Path(__file__).parents[1]))
from doubles import KEY, SDK_RATE, SDK_SCRIPT
from remains import children, command_line
from wires import wires

import rtkit
from rtkit.loopback.options import Options
from rtkit.loopback.server import serve_loopback

LONGEST = 1.0  # seconds after which an end is gone
GONE = ("client", "service", "both")
KILLED = 3  # sessions that are open when the tap is killed


async def talk(host: str) -> None:
    """A client that goes on until somebody is gone."""
    head = {"Authorization": KEY}
    with contextlib.suppress(OSError, WebSocketException):
        url = f"ws://{host}/v3/ws?sample_rate={SDK_RATE}"
        async with connect(url, additional_headers=head, close_timeout=1) as connection:
            while True:
                await connection.send(bytes(2 * SDK_RATE // 20))
                await asyncio.sleep(0.02)


async def try_them(moments: int, seed: int, record: Path) -> Counter[str]:
    """How the sessions ended, by their files; the last ones were cut off by killing the tap."""
    chosen = random.Random(seed)
    how = Options(script=SDK_SCRIPT, delay=0.0, max_speed=1e6, key=KEY)
    async with (
        asyncio.timeout(60),
        serve_loopback(0, how) as server,
        wires(lambda _: server.sockets[0].getsockname()[1]) as (behind, services),
    ):
        tap = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "rtkit.tap", "--port", "0", "--upstream", f"ws://{behind}"),
            *("--record", str(record)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        assert tap.stdout is not None
        line = (await tap.stdout.readline()).decode()
        port = urlsplit(line.split()[2].rstrip(";")).port
        assert port is not None

        async def go(gone: str, after: float) -> None:
            async with wires(lambda _: port) as (host, made):
                client = asyncio.create_task(talk(host))
                while not made:
                    await asyncio.sleep(0.001)
                await asyncio.sleep(after)
                there = [one for one in services if one.name == made[0].name]
                for wire in {"client": made, "service": there or made}.get(gone, made + there):
                    wire.cut()
                await client

        moments_of = [chosen.uniform(0, LONGEST) for _ in range(moments)]
        await asyncio.gather(*map(go, chosen.choices(GONE, k=moments), moments_of))
        relay = list(children(tap.pid))
        before = len(services)
        staying = [asyncio.create_task(talk(f"127.0.0.1:{port}")) for _ in range(KILLED)]
        while len(services) < before + KILLED or not all(one.down for one in services[before:]):
            await asyncio.sleep(0.01)
        while len(list(record.glob("*.jsonl"))) < moments + KILLED:  # each has begun its file
            await asyncio.sleep(0.01)
        await asyncio.sleep(chosen.uniform(0, LONGEST))
        tap.kill()
        await asyncio.wait(staying)
        await tap.wait()
        while any(map(command_line, relay)):  # it ends with its parent
            await asyncio.sleep(0.01)
    found: Counter[str] = Counter()
    for file in sorted(record.glob("*")):
        session = rtkit.load_session(file)
        found["cut off" if session.ending is None else session.ending.how] += 1
    return found


if __name__ == "__main__":
    moments, seed = map(int, (*sys.argv[1:3], *("50", "1")[len(sys.argv) - 1 :]))
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(try_them(moments, seed, Path(folder)))
    print(f"{sum(found.values())} files, all readable: {dict(found)}")
