"""What a session needs of a service, a vendor's protocol, and a connection.

A vendor's folder ``rtkit/services/NAME/`` holds all that is its own:

- ``client.py``: the class that a person names, the frames that a client says, the reader of the
  service's frames, and `Dialect` that puts these together, as ``DIALECT``
- ``server.py``: ``Server``, the same protocol from the other end, for the embedded service (and,
  reading only, for whatever watches a client)
- ``close_codes.py``: ``ENDINGS``, why it ends sessions, the particular before the general
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import rtkit.services
from rtkit.boundary.secrets import plain
from rtkit.boundary.text import unknown
from rtkit.reference import Reference
from rtkit.services.endpoint import Address, Closed, Endpoint, only_public, sounds_secret
from rtkit.services.messages import Close, Refusal, Reply, Said
from rtkit.services.reading import Reader

__all__ = [
    "ASSEMBLYAI",
    "NO_LIMITS",
    "UNKNOWN",
    "Connection",
    "Dialect",
    "Habit",
    "Limits",
    "Reader",
    "Server",
    "Service",
    "Step",
    "Tokens",
    "Vendor",
    "dialect_at",
    "dialect_for",
    "dialect_named",
    "dialect_of",
    "dialects",
    "part_of",
    "public_part",
    "vendors",
]

ASSEMBLYAI = "assemblyai"  # what sessions speak that name no dialect: once there was no other
UNKNOWN = "unknown"  # what a client speaks that nobody knows: only its bytes can be recorded


class Connection(Protocol):
    """What a session speaks through: a websocket, or anything else with these three.

    It may also `describe()` the service at its other end, as a `Service` does, and have a `kernel`
    (`rtkit.sending.kernel.Kernel`) that tells what lies in it.
    """

    async def send(self, frame: bytes | str) -> None:
        """Send audio (bytes) or a message (str); raises `Closed` when that cannot be."""

    async def recv(self) -> str | bytes:
        """The next message; raises `Closed` when none will come."""

    async def close(self) -> None:
        """Close; a second time does nothing."""


class Service(Protocol):
    """What a session connects to: `rtkit.AssemblyAI`, `rtkit.Loopback`, or your own."""

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects, and says first."""

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        """What a session records of its service; no secret is in it.

        ``"name"`` is shown, ``"dialect"`` names the folder in `rtkit.services` that reads its
        messages (AssemblyAI's without it). All else makes another service of it, and is said
        where services are told apart, unless ``"usual"`` has the same value under that name.
        """


@runtime_checkable
class Vendor(Service, Protocol):
    """A service that a person has an account with, which bills; made without arguments or with
    ``key`` and more.
    """

    NAME: ClassVar[str]
    KEY_VARIABLE: ClassVar[str]
    """The environment variable that holds the key."""
    SESSIONS_PER_MINUTE: ClassVar[int | None]
    """How many new sessions the least account may open in a minute."""

    def __init__(self, key: str | None = None) -> None: ...

    def find_key(self) -> str:
        """The key; raises ValueError if there is no key, or it is not valid."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a service takes; what is None has no limit.

    Attributes
    ----------
    min_chunk, max_chunk : float or None
        Seconds of audio in a message.
    rates : range or tuple of int or None
        Samples per second, as a range or a tuple.
    resampled : bool
        Whether audio of another rate is resampled to the first of these, and not refused.
    otherwise : str
        What it does with a chunk out of bounds, as the end of a sentence.
    """

    min_chunk: float | None = None
    max_chunk: float | None = None
    rates: range | tuple[int, ...] | None = None
    resampled: bool = False
    otherwise: str = ""

    def check(self, rate: int, chunk: float) -> None:
        """Refuse a sample rate, or a chunk duration, that the service does not take.

        Raises
        ------
        ValueError
        """
        if self.rates is not None and rate not in self.rates:
            taken, usual = ", ".join(map(str, self.rates)), self.rates[0]
            if isinstance(self.rates, range):
                taken, usual = f"{self.rates[0]} to {self.rates[-1]}", 16000
            raise ValueError(
                f"The audio has a sample rate of {rate} Hz; the service takes {taken} Hz. "
                f"Resample it, for example: ffmpeg -i INPUT -ar {usual} OUTPUT.wav"
            )
        least, most = self.min_chunk or 0.0, self.max_chunk or float("inf")
        if least <= chunk <= most:
            return
        taken = f"{least:g} to {most:g} s" if self.max_chunk else f"{least:g} s or more"
        raise ValueError(
            f"chunk={chunk:g} s is outside what the service takes, {taken} of audio per message"
            f"{self.otherwise and f': {self.otherwise}'}. chunk is in seconds; 0.1 is usual."
        )


NO_LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Step:
    """A frame that the client says (None: nothing), and what it then waits for.

    That is a kind of reply, `Closed` for the end of the connection, or None to go on at once. It
    goes on after `within` seconds, too, where the service need not reply.
    """

    frame: str | bytes | None
    until: type[Reply] | type[Closed] | None = None
    within: float | None = None


@dataclass(frozen=True, slots=True)
class Habit:
    """What a service does about a mistake, and how to avoid it there, where that is its own."""

    service: str
    fix: str = ""


def _as_it_is(pcm: bytes) -> bytes:
    return pcm


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """A vendor's protocol as its clients speak it, without any I/O.

    Attributes
    ----------
    vendor : type or None
        The class that a person names, if there is one.
    path : str
        Its path on its host.
    endpoint : callable
        Where a session connects and what it says first, given the base of the URL, the key, the
        sample rate and the parameters.
    reader : callable
        Makes a session's `Reader`, given the sample rate.
    shutdown : callable
        The steps that end a session, given how many chunks of audio were sent.
    closes : bool
        Whether the service closes the connection after the last step; it is given a moment to.
    begins : bool
        Whether the service says `Begin`, which is then waited for before any audio is sent.
    audio : callable
        What a chunk of little-endian 16-bit mono travels as: bytes, or text.
    model_parameter, default_model : str
        What the vendor calls the parameter that chooses a model, and its usual value.
    asks, formatting : mapping
        What `endpoint` asks for where the parameters do not say otherwise, and by which parameters
        one asks for casing and punctuation.
    keep_alive : tuple of (str or bytes, float) or None
        The keep-alive message, and after how many seconds without audio it is sent.
    public : collection of str
        Names of parameters and headers that hold no secret; all others are taken for one.
    bearer : bool
        Whether the key goes with the word Bearer before it.
    limits : Limits
    sent_as : mapping
        How the audio travels, by the names of parameters that cannot be otherwise.
    error_header : str
        In which header of an HTTP response it says what was wrong, if it does.
    habits : mapping
        What the service does about the mistakes that `rtkit.diagnose` names, as far as is known.
    """

    vendor: type[Vendor] | None = None
    path: str
    endpoint: Callable[[str, str, int, Mapping[str, Any]], Endpoint]
    reader: Callable[[int], Reader]
    shutdown: Callable[[int], tuple[Step, ...]]
    closes: bool = True
    begins: bool = True
    audio: Callable[[bytes], bytes | str] = _as_it_is
    model_parameter: str = "model"
    default_model: str = ""
    asks: Mapping[str, Any] = field(default_factory=dict)
    formatting: Mapping[str, Any] = field(default_factory=dict)
    keep_alive: tuple[str | bytes, float] | None = None
    public: Collection[str] = frozenset()
    bearer: bool = False
    limits: Limits = NO_LIMITS
    sent_as: Mapping[str, Any] = field(default_factory=dict)
    error_header: str = ""
    habits: Mapping[str, Habit] = field(default_factory=dict)

    def check(self, parameters: Mapping[str, Any]) -> None:
        """Refuse parameters that say of the audio what is not so.

        Raises
        ------
        ValueError
        """
        for name, value in self.sent_as.items():
            if str(parameters.get(name, value)) != str(value):
                raise ValueError(
                    f"parameters[{name!r}] must be {value!r}: rtkit sends 16-bit PCM, one channel, "
                    f"whatever the recording is. Leave {name} out."
                )


class _Unread(Reader):
    def read(self, frame: str | bytes) -> tuple[Reply, ...]:
        return ()


def _nowhere(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    raise ValueError("rtkit does not know how sessions with this service begin")


_NONE = Dialect(path="", endpoint=_nowhere, reader=_Unread, shutdown=lambda _: (Step(None),))


class Tokens(Protocol):
    """Who knows which keys open a session, and issues temporary ones."""

    def knows(self, key: str) -> bool: ...

    def mint(self, until: float, max_duration: float) -> str:
        """A token that opens sessions until it expires, each with a maximum duration in seconds."""


class Server(Protocol):
    """A vendor's protocol as the service speaks it, one session of it, without any I/O.

    Made with the parameters and the path of the URL; it says nothing of them yet: `open` does.
    """

    PATHS: ClassVar[tuple[str, ...]]
    """The path for websockets."""
    SUBPROTOCOLS: ClassVar[tuple[str, ...]]
    """Those of a websocket's that it takes, of clients that ask for any."""
    BACKLOG: ClassVar[float]
    """After how many seconds of audio that wait it ends a session, unless told otherwise,"""
    MAX_DURATION: ClassVar[float]
    """and after how many in all."""

    def __init__(self, query: Mapping[str, str], path: str) -> None: ...

    @staticmethod
    def credential(query: Mapping[str, str], headers: Mapping[str, str]) -> str | None:
        """What a client brings to be let in, by headers in lower case; raises `Refusal`."""

    @staticmethod
    def page(
        path: str,
        query: Mapping[str, str],
        headers: Mapping[str, str],
        tokens: Tokens,
        now: float,
    ) -> tuple[int, str | Mapping[str, Any]] | None:
        """The response to a request that is not for a websocket: a status, and text or JSON."""

    @staticmethod
    def refusal(cause: str, **facts: object) -> Refusal:
        """What it says when it refuses for one of the causes that any service may have.

        These are, with their facts: ``"no key"``, ``"key refused"``, ``"token expired"``, ``"too
        many sessions"``; ``"too fast"`` (received, took), ``"idle"`` (seconds), ``"too long"``,
        ``"too early"`` (audio before its time), ``"fault"``. A code of 400 to 599 refuses the
        connection.
        """

    def open(self) -> tuple[Said, ...]:
        """What the URL says; raises `Refusal`. `Configure` comes from here, or by a message."""

    def read(self, frame: bytes | str) -> tuple[Said, ...]:
        """What a frame of the client's says; raises `Refusal`."""

    def check(self, seconds: float) -> None:
        """Refuse a chunk duration that the service would refuse."""

    def write(self, reply: Reply) -> Iterable[Mapping[str, Any] | str | Close]:
        """The frames that the service sends for it: JSON objects, to which a stamp may be added.

        None where the vendor has no such message.
        """


def part_of(dialect: str, part: str) -> Any:
    """A module of a dialect's folder: its ``client``, ``server`` or ``close_codes``.

    Raises
    ------
    ValueError
        If the dialect is unknown. Only folders of `rtkit.services` are: a session's file, which
        names one, must not decide what is imported.
    """
    folder = str(dialect).partition(".")[0]
    if folder not in dialects():
        raise _unknown(dialect)
    return import_module(f"rtkit.services.{folder}.{part}")


def _unknown(dialect: str) -> ValueError:
    known = []
    for folder in dialects():
        variants = getattr(part_of(folder, "client"), "VARIANTS", {})
        known += [folder, *(f"{folder}.{variant}" for variant in variants)]
    return ValueError(unknown("dialect", dialect, known))


def dialect_of(described: Mapping[str, Any]) -> Dialect:
    """The dialect that a service speaks, by what it says of itself."""
    return dialect_named(plain(described.get("dialect", ASSEMBLYAI)))


def public_part(described: Mapping[str, Any]) -> dict[str, Any]:
    """What anybody may read of what a service says of itself.

    Of its ``"parameters"`` what its dialect declares public, and of the rest what does not sound
    like a secret.
    """
    shown = {name: value for name, value in described.items() if not sounds_secret(name)}
    if isinstance(shown.get("host"), str):
        shown["host"] = Address(shown["host"]).shown
    if isinstance(shown.get("parameters"), Mapping):
        try:
            public = dialect_of(described).public
        except ValueError:  # one that this rtkit does not speak
            public = frozenset()
        shown["parameters"] = only_public(shown["parameters"], public)
    return shown


def dialect_named(name: str) -> Dialect:
    """The dialect of that name, as its clients speak it.

    Where a vendor has several, the others are named ``"FOLDER.VARIANT"``, by ``VARIANTS`` beside
    ``DIALECT``.

    Raises
    ------
    ValueError
        If the dialect is unknown.
    """
    if name == UNKNOWN:
        return _NONE
    client, variant = part_of(name, "client"), name.partition(".")[2]
    if "." not in name:
        return cast(Dialect, client.DIALECT)
    found: Dialect | None = getattr(client, "VARIANTS", {}).get(variant)
    if found is None:
        raise _unknown(name)
    return found


def dialect_at(path: str) -> str | None:
    """Whose protocol is spoken at that path; None where nobody's is."""
    for folder in dialects():
        client = part_of(folder, "client")
        variants = [f"{folder}.{one}" for one in getattr(client, "VARIANTS", {})]
        for name in (folder, *variants):
            if dialect_named(name).path == path.rstrip("/"):
                return name
    return None


def dialect_for(dialect: str, model: str) -> str:
    """By which of a vendor's dialects a model is spoken to: that with which its name begins."""
    if "." in dialect:
        return dialect
    variants = getattr(part_of(dialect, "client"), "VARIANTS", {})
    own = (f"{dialect}.{name}" for name in variants if model.startswith(name))
    return next(own, dialect)


def vendors() -> dict[str, type[Vendor]]:
    """The services that one may have an account with, by their dialects."""
    found = ((name, dialect_named(name).vendor) for name in dialects())
    return {name: vendor for name, vendor in found if vendor is not None}


def dialects() -> tuple[str, ...]:
    """The names of all that this rtkit speaks."""
    return _dialects(tuple(rtkit.services.__path__))


@cache
def _dialects(path: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(one.name for one in pkgutil.iter_modules(path) if one.ispkg))
