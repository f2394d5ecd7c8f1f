"""A client's session, from what passed between it and its service."""

from __future__ import annotations

import contextlib
import wave
import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

from websockets.exceptions import WebSocketException

from rtkit.analysis.timing.lateness import pacing_of
from rtkit.boundary.secrets import StrikeOut
from rtkit.boundary.text import told
from rtkit.recording import Recorder, load_session
from rtkit.sending.options import host
from rtkit.sending.session_time import SessionTime
from rtkit.services.endpoint import Endpoint, only_public
from rtkit.services.explain import explain
from rtkit.services.messages import (
    Audio,
    Configure,
    Finalized,
    Finish,
    ForceEndpoint,
    Refusal,
    Rules,
    ServiceError,
    Termination,
)
from rtkit.services.service import UNKNOWN, Dialect, Reader, Server, dialect_named, part_of
from rtkit.session import Chunk, Ending, Event, Fact, Message, Session, Settings, Stall
from rtkit.tap.frames import LONGEST, Close, Messages, deflated
from rtkit.tap.passed import Passed
from rtkit.tap.request_head import LONGEST_HEAD, Request
from rtkit.writing import Writer

__all__ = ["Tapped", "settled"]

SWITCHING = 101
UP = b"u"


class Tapped:
    """One client, observed.

    Parameters
    ----------
    number : int
        Which client it is, from 1.
    request : Request
        With which it came; what it holds in confidence is kept only to strike it out.
    dialect : str
        Whose protocol it speaks.
    service : str
        Its service's name.
    record : Path or None
        The session's file.
    came : float
        When it came, on the loop's clock.
    keep : bool
        Whether its facts are kept in memory, too, and not only in its file.
    keep_audio : bool
        Whether the audio is written beside it.
    network : sequence of str
        What the network does wrong on request.
    writer : Writer or None
        What writes the file.
    over : callable
        Called with this when the session has ended.
    on_event : callable
        Called with each chunk and message as it comes, and with the ending.

    Attributes
    ----------
    session : Session or None
        The facts, once it has ended.
    unread, unsaved : str
        Why something that passed could not be read, and why the audio is not kept.
    """

    def __init__(
        self,
        number: int,
        request: Request,
        dialect: str,
        service: str,
        record: Path | None,
        *,
        came: float,
        keep: bool,
        keep_audio: bool,
        network: Sequence[str],
        writer: Writer | None,
        over: Callable[[Tapped], object],
        on_event: Callable[[Fact], object],
    ) -> None:
        self._on_event = on_event
        self.number, self._over, self._record = number, over, record
        self._network = list(network)
        self._dialect: Dialect = dialect_named(dialect)
        self._server: Server | None = None
        if dialect != UNKNOWN:
            server = part_of(dialect, "server")
            self._server = server.Server(request.query, request.path.rstrip("/"))
        self._secrets = list(request.told_in_confidence(frozenset(self._dialect.public)))
        self._strike_out = StrikeOut(self._secrets)
        self._rules: Rules | None = None
        self._reader: Reader | None = None
        self._head = b""
        self._sides: dict[bool, Messages] = {}
        self._waiting: list[Passed] = []  # of the client, until it is let in
        self._keep = keep
        self._samples = self._chunks = 0
        self._arrived = came
        self._stamped: set[bool] = set()  # whether the kernel told of arrivals
        self._status = 0
        self._close: Close | None = None
        self._finished: float | None = None  # when the client said that it had no more to say
        self._heard_out = False
        self._error: ServiceError | None = None
        self.unread = self.unsaved = ""
        self._keep_audio = keep_audio and record is not None
        self._wave: wave.Wave_write | None = None
        self.session: Session | None = None
        self._recorder = Recorder(
            self._settings(dialect, request, service),
            host(),
            None,
            path=record,
            writer=writer,
            keep=keep,
        )
        self._timeline = SessionTime(self._recorder)
        self._recorder.add(Event(came, "connected"))
        with contextlib.suppress(Refusal):  # what is wrong, the service will say
            for said in () if self._server is None else self._server.open():
                self._hear(said, 0.0, 0.0)

    @property
    def path(self) -> Path | None:
        """The session's file."""
        return self._recorder.path

    def stalled(self, at: float, seconds: float) -> None:
        """Record a stall of the tap's loop that ended `at`."""
        if self._recorder.begun and self.session is None:
            self._recorder.add(Stall(at - self._timeline.zero, seconds))

    # What passed.

    def passed(self, one: Passed) -> None:
        """Look at bytes that went up or down."""
        if self.unread:
            return
        if self._sides:
            self._read(one)
        elif one.kind == UP:
            self._waiting.append(one)
            if sum(len(earlier.data) for earlier in self._waiting) > LONGEST:
                self._waiting.clear()
                self.unread = "the service does not answer the request"
        else:
            self._let_in(one)

    def _let_in(self, one: Passed) -> None:
        """By what the service says first."""
        self._head += one.data
        head, found, rest = self._head.partition(b"\r\n\r\n")
        if not found:
            if len(self._head) > LONGEST_HEAD:
                self.unread = "the head of the reply is too long"
            return
        lines = head.decode("latin-1").split("\r\n")
        pairs = (line.partition(":") for line in lines[1:])
        headers = {name.strip().casefold(): value.strip() for name, _, value in pairs}
        status = lines[0].split(" ")[1:2]
        self._status = int(status[0]) if status and status[0].isdigit() else 0
        if self._status != SWITCHING:
            self.unread = f"refused with HTTP status {self._status}"
            return
        agreed = headers.get("sec-websocket-extensions", "")
        for of_client in (True, False):
            extensions = deflated(agreed, of_client=of_client)
            self._sides[of_client] = Messages(of_client=of_client, extensions=extensions)
        waiting, self._waiting = self._waiting, []
        for earlier in waiting:
            self._read(earlier)
        self._read(one._replace(data=rest))

    def ended(self, by: str, at: float, error: str = "") -> None:
        if self.session is not None:
            return
        if self._finished is not None:
            self._recorder.add(Event(self._finished - self._timeline.zero, "terminate"))
        self._recorder.add(Event(at - self._timeline.zero, "closed"))
        ending = self._ending(by, error)
        self._timeline.end(ending, at=at)
        self._on_event(ending)
        with contextlib.suppress(OSError):  # a full disk costs the file alone
            self._recorder.close()
        session = self._recorder.session()
        if not self._keep and self.path is not None:
            with contextlib.suppress(OSError, ValueError):
                session = load_session(self.path)
        by = "kernel" if True in self._stamped else "loop"
        arrivals = "both" if len(self._stamped) > 1 else by
        service = {**session.settings.service, "arrivals": arrivals}
        session = replace(session, settings=replace(session.settings, service=service))
        self.session = settled(session)
        with contextlib.suppress(OSError):
            if self.path is not None:
                self.session.save(self.path)
            if self._wave is not None:
                self._wave.close()
        self._over(self)

    # What it says.

    def _read(self, one: Passed) -> None:
        if self.unread:
            return
        self._stamped.add(one.waited is not None)
        # Two clocks are read for it: a hair may be missing to what came before.
        arrived = self._arrived = max(self._arrived, one.came - (one.waited or 0.0))
        try:
            for message in self._sides[one.kind == UP].feed(one.data):
                if isinstance(message, Close):
                    self._close = self._close or message
                elif one.kind == UP:
                    self._sent(message, arrived, one.went)
                else:
                    self._answered(message, arrived, one.went)
        except (WebSocketException, ValueError, zlib.error) as error:
            self.unread = f"it could not be read any further ({told(str(error))})"

    def _sent(self, message: str | bytes, came: float, went: float) -> None:
        if isinstance(message, str) and not self._chunks:  # some bring their key along in it
            first = Endpoint("", {}, (message,))
            self._secrets += first.secrets(frozenset(self._dialect.public))
            self._strike_out = StrikeOut(self._secrets)
        if self._server is None:  # all of it may be audio
            data = message if isinstance(message, bytes) else message.encode()
            if data:
                self._chunk(len(data), len(data), None, came, went)
            return
        try:
            said = self._server.read(message)
        except Refusal:  # what is wrong, the service will say
            return
        for one in said:
            self._hear(one, came, went)

    def _hear(self, said: object, came: float, went: float) -> None:
        if isinstance(said, Configure):
            if self._rules is None:
                self._recorder.settings = replace(
                    self._recorder.settings,
                    rate=said.rules.rate,
                    coding=said.rules.encoding,
                    service={**self._recorder.settings.service, "speech_model": said.rules.model},
                )
            self._rules = said.rules
        elif isinstance(said, Audio) and self._rules is not None and len(said.pcm) > 1:
            self._chunk(len(said.pcm) // 2, said.size, self._rules.rate, came, went)
            self._finished, self._heard_out = None, False
            if self._keep_audio and self._record is not None:
                try:
                    self._write(said.pcm, self._rules.rate, self._record)
                except OSError as error:
                    self._keep_audio = False
                    self.unsaved = f"the audio is not saved ({error.strerror})"
        elif isinstance(said, Finish | ForceEndpoint):  # some end with the latter
            self._finished = came

    def _chunk(self, count: int, size: int, rate: int | None, came: float, went: float) -> None:
        """Record a chunk of `count` samples; of bytes, with no due time, where the rate is None."""
        start, stop = self._samples, self._samples + count
        spoken = 0.0 if rate is None else stop / rate
        if not self._recorder.begun:
            if rate is not None:
                settings = self._recorder.settings
                self._recorder.settings = replace(settings, chunk=count / rate)
            self._timeline.start(came - spoken)
        sent = came - self._timeline.zero
        due = sent if rate is None else spoken
        chunk = Chunk(self._chunks, start, stop, due, sent, went - self._timeline.zero, size)
        self._recorder.add(chunk)
        self._on_event(chunk)
        self._samples, self._chunks = stop, self._chunks + 1

    def _write(self, pcm: bytes, rate: int, record: Path) -> None:
        """Keep the audio."""
        if self._wave is None:
            path = record.with_suffix(".wav")
            path.write_bytes(b"")  # or `wave` would leave half a writer where that fails
            self._wave = wave.open(str(path), "wb")  # noqa: SIM115 - it is open as the session is
            self._wave.setparams((1, 2, rate, 0, "NONE", ""))
        self._wave.writeframesraw(pcm)

    def _answered(self, message: str | bytes, came: float, went: float) -> None:
        text = message if isinstance(message, str) else message.decode("utf-8", "replace")
        text = self._strike_out(text)
        if self._rules is not None and self._reader is None:
            self._reader = self._dialect.reader(self._rules.rate)
        # Without rules, what a client asked for was refused.
        replies = tuple((self._reader or self._dialect.reader(1)).read(text))
        for one in replies:
            if isinstance(one, ServiceError):
                self._error = self._error or one
            elif isinstance(one, Termination | Finalized) and self._finished is not None:
                self._heard_out = True
        heard = Message(went - self._timeline.zero, text, waited=went - came)
        self._recorder.add(heard)
        self._on_event(replace(heard, replies=replies))

    def _ending(self, by: str, error: str) -> Ending:
        code = None if self._close is None else self._close.code
        reason = "" if self._close is None else self._strike_out(self._close.reason)
        over = self._finished is not None or self._server is None
        if over and (self._heard_out or code == 1000):
            return Ending("complete", code=code, reason=reason)
        left = by == "client" or (by == "tap" and not error)
        if left and code in (None, 1000, 1001) and self._error is None:
            return Ending("stopped", code=code, reason=reason)
        status = self._status if self._status != SWITCHING else 0
        number, text = status or code, reason
        if self._error is not None:
            number, text = self._error.code or number, told(self._error.text) or reason
        closure = explain(number, text, dialect=self._recorder.settings.dialect)
        with_code = "without a close code" if number is None else f"with code {number}"
        said = f' and the message "{text}"' if text else ""
        why = self._strike_out(error) or (
            f"{closure.cause} {closure.fix} (It ended {with_code}{said}.)"
        )
        return Ending("failed", why, code=code, reason=reason, closure=closure.name)

    def _settings(self, dialect: str, request: Request, service: str) -> Settings:
        described: dict[str, Any] = {
            "name": service,
            "dialect": dialect,
            "tapped": True,
            **({"network_faults": self._network} if self._network else {}),
            "parameters": only_public(request.query, self._dialect.public),
        }
        return Settings(
            recording=f"client {self.number}",
            rate=16000,
            first=0,
            samples=0,
            channels=1,
            coding="",
            chunk=0.1,
            pacing="unknown",
            service=described,
        )


def settled(session: Session) -> Session:
    """The session of a client that has ended, with t = 0 where it can be at the latest.

    No chunk can have come before it was spoken: the most punctual one has lateness 0.
    """
    if not session.chunks or not session.settings.timed:
        return session
    early = float(session.lateness.min())
    started = datetime.fromisoformat(session.started) + timedelta(seconds=early)
    durations = [one.stop - one.start for one in session.chunks]
    session = replace(
        session,
        zero=(session.zero or 0.0) + early,
        started=started.isoformat(timespec="milliseconds"),
        settings=replace(
            session.settings,
            samples=session.chunks[-1].stop,
            chunk=median(durations) / session.settings.rate,
        ),
        chunks=tuple(
            replace(one, sent=one.sent - early, returned=one.returned - early)
            for one in session.chunks
        ),
        messages=tuple(replace(one, at=one.at - early) for one in session.messages),
        stalls=tuple(replace(one, at=one.at - early) for one in session.stalls),
        events=tuple(replace(one, at=one.at - early) for one in session.events),
        ending=None
        if session.ending is None
        else replace(
            session.ending,
            at=session.ending.at - early,
            calendar=session.ending.calendar - early,
        ),
    )
    return replace(session, settings=replace(session.settings, pacing=pacing_of(session).name))
