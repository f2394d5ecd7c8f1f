"""The command line of the embedded service, generated from its options."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import ssl
import sys
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

from rtkit.loopback.faults import FAULTS
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.loopback.server import serve_loopback
from rtkit.loopback.tls import add_tls_option, how_to_trust, local_ca, read_certificate
from rtkit.reference import SidecarError
from rtkit.services.service import dialect_named

__all__ = ["main"]


def main() -> None:
    parser = _parser()
    given = vars(parser.parse_args())
    port, quiet, ca = given.pop("port"), given.pop("quiet"), given.pop("tls")
    certificate, private_key = given.pop("certificate"), given.pop("private_key")
    try:
        if private_key is not None and certificate is None:
            raise ValueError("--private-key needs a certificate; add --certificate")
        options = Options(**given)
        tls: ssl.SSLContext | None = None
        if certificate is not None:
            tls, ca = read_certificate(certificate, private_key), None
        elif ca is not None:
            tls = local_ca(ca)
    except (SidecarError, ValueError, ImportError) as error:
        parser.error(str(error))
    log = Log(None if quiet else _tell, key=options.key, protocol=options.protocol)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(port, options, log, tls, "" if ca is None else how_to_trust(ca)))


async def _serve(
    port: int, options: Options, log: Log, tls: ssl.SSLContext | None, trust: str
) -> None:
    ended = asyncio.Event()
    try:
        async with serve_loopback(port, options, log=log, tls=tls) as server:
            for ending in (signal.SIGTERM, signal.SIGINT):
                with contextlib.suppress(NotImplementedError):  # where there are no such signals
                    asyncio.get_running_loop().add_signal_handler(ending, ended.set)
            at = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
            path = dialect_named(options.protocol).path
            scheme = "ws" if tls is None else "wss"
            print(f"Listening on {scheme}://{at}{path}; press Ctrl-C to stop.", flush=True)
            if trust:
                print(f"Clients must trust its certificate:\n{trust}", flush=True)
            await ended.wait()  # then no client holds it up for longer than a moment
    except OSError as error:
        sys.exit(
            f"Port {port} is not available ({error.strerror}); choose another one with --port."
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m rtkit.loopback",
        description="An embedded streaming speech-to-text service on 127.0.0.1.\n"
        "Any key will do, unless --key names one.",
        epilog=_faults(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--port",
        type=_port,
        default=8765,
        help="port to listen on; 0 chooses a free one (%(default)s)",
    )
    for one in fields(Options):
        how: dict[str, Any] = {"default": one.default, "dest": one.name, **one.metadata}
        flag = how.pop("flag", "--" + one.name.replace("_", "-"))
        if isinstance(one.default, bool):
            how["action"] = argparse.BooleanOptionalAction
        elif "action" in how:
            how["default"] = []
        else:
            how.setdefault("type", type(one.default))
        parser.add_argument(flag, **how)
    parser.add_argument(
        "--certificate",
        type=Path,
        metavar="PEM",
        help="use wss and https with this certificate; some clients require it",
    )
    parser.add_argument(
        "--private-key",
        type=Path,
        metavar="PEM",
        help="the private key of --certificate, if it is in another file",
    )
    add_tls_option(parser)
    parser.add_argument(
        "--quiet",
        action="store_true",
        help="do not log clients on standard error",
    )
    return parser


def _faults() -> str:
    """What --fault takes, as a table."""
    rows = (
        f"  {name + ('' if kind.usual is None else f'={kind.usual:.10g}'):<18}"
        f"{'@' if kind.timed else '':<3}{kind.does}"
        for name, kind in FAULTS.items()
    )
    return (
        "faults (--fault), with their default values:\n"
        + "\n".join(rows)
        + "\n\nFaults marked @ happen once, after the given seconds of audio: drop@2.5; "
        "without a time,\nbefore Begin. Add x2 to limit a fault to the first two sessions."
    )


def _tell(line: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it any more
        print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def _port(text: str) -> int:
    port = int(text) if text.isdecimal() else -1
    if not 0 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; give one from 0 to 65535")
    return port
