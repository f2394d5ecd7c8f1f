"""The embedded service as a child process: controlled over standard input, ends when that closes.

The first line holds its options. Each further line announces a session's script, or how many
concurrent sessions to expect; it replies to each.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from typing import Any

from rtkit.loopback.options import Options
from rtkit.loopback.scripts import Scripts
from rtkit.loopback.server import serve_loopback
from rtkit.reference import Reference


async def _serve() -> None:
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    if not (opening := await lines.get()):
        return
    options = Options.from_json(json.loads(opening))
    scripts = Scripts(options.reference, options.heard_in)
    async with serve_loopback(0, options, scripts=scripts) as server:
        _answer({"port": server.sockets[0].getsockname()[1]})
        while line := await lines.get():
            session = json.loads(line)
            if "expected" in session:
                scripts.expect(session["expected"])
                _answer({"ready": session["expected"]})
                continue
            script = session["script"] and Reference.from_json(session["script"])
            scripts.add(session["id"], script)
            _answer({"ready": session["id"]})


def _answer(said: dict[str, Any]) -> None:
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve())
