"""Run the tap for any client; see ``--help``."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import time
from pathlib import Path

from rtkit.loopback.tls import add_tls_option, how_to_trust
from rtkit.tap.network import FAULTS
from rtkit.tap.tap import Tap


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m rtkit.tap",
        description="Sits between a client and its streaming speech-to-text service, passes "
        "every byte on, and measures whose latency it is. Only the client's host setting changes.",
        epilog="faults; prefix with up. or down. for one direction:\n"
        + "\n".join(f"  {name:<20}{does}" for name, does in FAULTS.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--upstream",
        default="embedded",
        help="the service, such as wss://streaming.assemblyai.com (%(default)s)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8765,
        help="port to listen on; 0 chooses a free one (%(default)s)",
    )
    parser.add_argument(
        "--record", type=Path, metavar="FOLDER", help="folder for the session files"
    )
    parser.add_argument("--protocol", help="the protocol, if the path does not identify it")
    parser.add_argument(
        "--keep-audio", action="store_true", help="save the audio as a WAV file beside each session"
    )
    parser.add_argument(
        "--fault",
        action="append",
        default=[],
        dest="faults",
        metavar="FAULT",
        help="a network fault, such as up.delay=0.08 or down.stall=2@10; can be repeated",
    )
    parser.add_argument(
        "--seed", type=int, default=0, help="seed of the random numbers of faults (%(default)s)"
    )
    add_tls_option(parser)
    given = vars(parser.parse_args())
    try:
        tap = Tap(**given, keep=0, tell=_tell)
    except ValueError as error:
        parser.error(str(error))
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(tap, given["port"], given["tls"]))


async def _serve(tap: Tap, port: int, ca: Path | None) -> None:
    ended = asyncio.Event()
    for ending in (signal.SIGTERM, signal.SIGINT):
        with contextlib.suppress(NotImplementedError):  # where there are no such signals
            asyncio.get_running_loop().add_signal_handler(ending, ended.set)
    try:
        async with tap:
            print(f"Listening on {tap.url}; press Ctrl-C to stop.", flush=True)
            if ca is not None:
                print(f"Clients must trust its certificate:\n{how_to_trust(ca)}", flush=True)
            broken = asyncio.ensure_future(tap.broken())
            stopped = asyncio.ensure_future(ended.wait())
            await asyncio.wait({broken, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if not stopped.done():
                sys.exit("The tap's relay ended unexpectedly.")
            broken.cancel()
    except (ImportError, ValueError) as error:
        sys.exit(str(error))
    except OSError as error:
        sys.exit(
            f"Port {port} is not available ({error.strerror}); choose another one with --port."
        )


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
