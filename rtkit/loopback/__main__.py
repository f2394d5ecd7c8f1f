"""Run the embedded service: for any client of the Streaming API v3, or as a session's child."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import threading
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from rtkit.loopback.admission import Admission
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.faults import FAULTS, Written, read_faults
from rtkit.loopback.log import Log
from rtkit.loopback.process import ENGINES
from rtkit.loopback.recognizer import Recognizers, recognizer_name
from rtkit.loopback.server import Scripts, serve_loopback
from rtkit.reference import Reference, SidecarError, read_reference

GOODBYE = 1.0  # seconds in which sessions may still close when the parent has ended


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m rtkit.loopback",
        description="An embedded streaming speech-to-text service that speaks AssemblyAI's\n"
        "Streaming API v3 on 127.0.0.1. Any key will do, unless --key names one.",
        epilog=_faults(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    defaults = Behavior()
    parser.add_argument("--port", type=_port, default=8765, help="0 for a free one (%(default)s)")
    parser.add_argument(
        "--script", type=Path, help="a reference (JSON) to speak; without it, speech by energy"
    )
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default=ENGINES[0],
        help="what it hears with; the recognizer needs pip install 'rtkit[recognizer]'",
    )
    parser.add_argument(
        "--delay",
        type=float,
        help=f"seconds from hearing to answering ({defaults.delay:g}; with the recognizer, 0)",
    )
    parser.add_argument(
        "--delay-spread",
        type=float,
        default=defaults.delay_spread,
        help="each answer is later by 0 to so many seconds more, drawn evenly (%(default)g)",
    )
    parser.add_argument(
        "--seed",
        type=int,
        default=defaults.seed,
        help="of the random numbers of --delay-spread, the same in each session (%(default)s)",
    )
    parser.add_argument(
        "--max-speed",
        type=float,
        default=defaults.max_speed,
        help="how fast it hears: at most so many seconds of audio a second; what comes faster "
        "waits (%(default)g)",
    )
    parser.add_argument(
        "--backlog",
        type=float,
        default=defaults.backlog,
        help="closes a session (3007) when more than so many seconds of audio wait to be heard "
        "(%(default)g)",
    )
    parser.add_argument(
        "--finals",
        type=int,
        choices=(1, 2),
        default=defaults.finals,
        help="messages at a formatted turn's end (%(default)s)",
    )
    parser.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME[=VALUE][@SECONDS][xTIMES]",
        help="a fault on demand, of those listed below; again for more",
    )
    parser.add_argument(
        "--max-duration",
        type=float,
        default=defaults.max_duration,
        help="closes a session (3008) after so many seconds (%(default)g)",
    )
    parser.add_argument("--key", help="a made-up key, the only one that it takes")
    parser.add_argument("--max-sessions", type=int, help="how many may be open at once")
    parser.add_argument(
        "--sessions-per-minute", type=int, help="how many may be opened within a minute"
    )
    parser.add_argument(
        "--compression",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="compress for clients that offer to",
    )
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="without a line on standard error for each client that comes, is let down, or leaves",
    )
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        asyncio.run(_child())
        return
    recognizer = options.engine == "recognizer"
    try:
        if recognizer:
            recognizer_name()
            if options.script is not None:
                raise ValueError("a recognizer hears for itself; leave --script out")
        if options.delay is None:
            options.delay = 0.0 if recognizer else defaults.delay
        behavior = Behavior(
            options.delay,
            options.delay_spread,
            options.seed,
            options.max_speed,
            options.backlog,
            options.finals,
            options.max_duration,
        )
        admission = Admission(options.key, options.max_sessions, options.sessions_per_minute)
        script = None if options.script is None else read_reference(options.script)
    except (SidecarError, ValueError, ImportError) as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(
            _terminal(
                options.port,
                recognizer,
                scripts=Scripts(script),
                behavior=behavior,
                admission=admission,
                compression=options.compression,
                faults=options.fault,
                log=Log(None if options.quiet else _tell, key=options.key),
            )
        )


async def _terminal(port: int, recognizer: bool, **how: Any) -> None:
    async with _recognizers(recognizer) as recognizers:
        try:
            server = await serve_loopback(port, recognizers=recognizers, **how)
        except OSError as error:
            sys.exit(f"Port {port} cannot be had ({error.strerror}); try another one with --port.")
        with contextlib.suppress(NotImplementedError):  # where there are no such signals
            asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.close)
        port = server.sockets[0].getsockname()[1]
        print(f"Listening on ws://127.0.0.1:{port}/v3/ws; Ctrl-C ends it.", flush=True)
        await server.wait_closed()


@contextlib.asynccontextmanager
async def _recognizers(wanted: bool) -> AsyncIterator[Recognizers | None]:
    """Recognizers, of which one is ready, and none is left afterwards; or None."""
    if not wanted:
        yield None
        return
    recognizers = Recognizers()
    try:
        await recognizers.prepare()
        yield recognizers
    finally:
        await recognizers.close()


async def _child() -> None:
    """Answer the parent's lines; end when it closes them, however it ended itself."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str] = asyncio.Queue()

    def read() -> None:
        for line in sys.stdin:
            loop.call_soon_threadsafe(lines.put_nowait, line)
        loop.call_soon_threadsafe(lines.put_nowait, "")

    threading.Thread(target=read, daemon=True).start()
    if not (opening := await lines.get()):
        return
    start = json.loads(opening)
    scripts = Scripts(_script(start["script"]))
    behavior = Behavior(**start["behavior"])
    faults = read_faults(start["faults"])
    async with _recognizers(start["recognizer"]) as recognizers:
        server = await serve_loopback(
            0,
            scripts=scripts,
            behavior=behavior,
            recognizers=recognizers,
            admission=Admission(**start["admission"]),
            compression=start["compression"],
            faults=faults,
        )
        print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
        while line := await lines.get():
            question = json.loads(line)
            scripts.add(question["id"], _script(question["script"]))
            print(json.dumps({"ready": question["id"]}), flush=True)
        server.close()
        with contextlib.suppress(TimeoutError):  # a fault does not hold up the parent
            async with asyncio.timeout(GOODBYE):
                await server.wait_closed()
        for connection in server.connections:
            connection.transport.abort()


def _faults() -> str:
    """What --fault takes, as a table."""
    rows = (
        f"  {name + ('' if kind.usual is None else f'={kind.usual:.10g}'):<18}"
        f"{'@' if kind.timed else '':<3}{kind.does}"
        for name, kind in FAULTS.items()
    )
    return (
        "what it may do wrong (--fault), with the value that it has without one:\n"
        + "\n".join(rows)
        + "\n\nThose marked @ happen once, after so many seconds of audio: drop@2.5; without a "
        "time,\nbefore Begin. x2 behind any of them: only in the first two sessions."
    )


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is no port; give one of 0 to 65535")
    return port


def _fault(text: str) -> Written:
    try:
        return read_faults(text)[0]
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _script(data: dict[str, Any] | None) -> Reference | None:
    return None if data is None else Reference.from_json(data)


if __name__ == "__main__":
    main()
