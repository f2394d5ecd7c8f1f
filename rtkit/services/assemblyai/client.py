"""AssemblyAI's Streaming API v3 without any I/O: the URL and the messages.

On the wire times are integer milliseconds; everything that leaves this module is in seconds.
"""

from __future__ import annotations

import ipaddress
import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit

if TYPE_CHECKING:
    from rtkit.services.closures import Closure

__all__ = [
    "AssemblyAI",
    "Begin",
    "Endpoint",
    "Other",
    "ServiceError",
    "Stamp",
    "Termination",
    "Turn",
    "Word",
    "parse",
]

DEFAULT_MODEL = "universal-streaming-english"
KEY_VARIABLE = "ASSEMBLYAI_API_KEY"
SECRETS = ("token", "auth", "secret", "api_key", "apikey", "password")  # in parameters' names


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect and how to introduce oneself. Both may hold secrets: never shown."""

    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def local(self) -> bool:
        """Whether it is this machine."""
        try:
            return self.host == "localhost" or ipaddress.ip_address(self.host).is_loopback
        except ValueError:  # a name
            return False

    @property
    def private(self) -> bool:
        """Whether no secret goes in the clear over a network."""
        return urlsplit(self.url).scheme == "wss" or self.local or not self.secrets

    @property
    def secrets(self) -> tuple[str, ...]:
        """What is told to it in confidence."""
        told = (*self.headers.items(), *parse_qsl(urlsplit(self.url).query))
        return tuple(value for name, value in told if value and is_secret(name))


@dataclass(frozen=True)
class AssemblyAI:
    """The real service.

    Parameters
    ----------
    key : str, optional
        The API key; from the environment variable ASSEMBLYAI_API_KEY without it. It is neither
        shown nor saved.
    speech_model : str
        Always sent, because the service's own default has changed over time.
    format_turns : bool
        Ask for casing and punctuation. Some models then send two final messages a turn.
    host : str
        ``streaming.assemblyai.com``, or ``streaming.us...`` or ``streaming.eu...`` to keep the
        data in a region. With ``ws://`` before it, a service on this machine that needs no
        encryption: ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further parameters of the session, by the service's own names.
    """

    key: str | None = field(default=None, repr=False)
    speech_model: str = DEFAULT_MODEL
    format_turns: bool = False
    host: str = "streaming.assemblyai.com"
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)

    async def endpoint(self, rate: int, reference: object = None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects.

        Raises
        ------
        ValueError
            If there is no key, or `host` is no websocket address.
        """
        key = self.find_key()
        parameters = {"speech_model": self.speech_model, "format_turns": self.format_turns}
        host = self.host.rstrip("/")
        base = host if "://" in host else f"wss://{host}"
        if urlsplit(base).scheme not in ("ws", "wss"):
            raise ValueError(
                f"host={self.host!r} is no websocket address; give a host's name, or one with "
                "wss:// before it, or ws:// on this machine"
            )
        return Endpoint(
            session_url(f"{base}/v3/ws", rate, {**parameters, **self.parameters}),
            {"Authorization": key},
        )

    def find_key(self) -> str:
        """The key given, or the environment's.

        Raises
        ------
        ValueError
            If there is none, or it cannot be one.
        """
        key = (self.key or os.environ.get(KEY_VARIABLE, "")).strip()
        if not key:
            raise ValueError(
                f"AssemblyAI needs an API key: set the environment variable {KEY_VARIABLE} before "
                "you start Python, or pass AssemblyAI(key=...). Without one, leave the service "
                "out: the embedded one needs none."
            )
        if not key.isascii() or not key.isprintable() or " " in key:
            del key  # tracebacks may show a function's variables
            raise ValueError(
                "The API key holds a space or a character that no key has. Copy it anew, "
                "without the word Bearer before it."
            )
        return key

    def describe(self, reference: object = None) -> dict[str, Any]:
        """What a session records of its service; the key is not in it."""
        return {
            "name": "AssemblyAI",
            "host": self.host,
            "speech_model": self.speech_model,
            "format_turns": self.format_turns,
            "parameters": {
                name: value for name, value in self.parameters.items() if not is_secret(name)
            },
        }


def is_secret(name: str) -> bool:
    """Whether a header or parameter of that name holds what nobody else may know."""
    return any(secret in name.casefold() for secret in SECRETS)


def strike_out(secrets: Iterable[str], text: str) -> str:
    """A text from outside without these; what is shorter than any key may be a word, and stays."""
    for secret in secrets:
        if len(secret) >= 8:
            text = text.replace(secret, "[secret]")
    return text


def session_url(base: str, rate: int, parameters: Mapping[str, Any]) -> str:
    """The URL of a session; lists and objects travel as JSON text, booleans in lower case."""
    query: dict[str, str] = {"sample_rate": str(rate), "encoding": "pcm_s16le"}
    for name, value in parameters.items():
        query[name] = value if isinstance(value, str) else json.dumps(value)
    return f"{base}?{urlencode(query)}"


class Closed(Exception):
    """The other side closed the connection; `code` is None where it broke without a word.

    `why` is set where this side had to break it off.
    """

    def __init__(self, code: int | None, reason: str = "", why: Closure | None = None) -> None:
        super().__init__(code, reason)
        self.code, self.reason, self.why = code, reason, why


# What the client says. Audio goes as binary messages and needs no words.

TERMINATE = json.dumps({"type": "Terminate"})
FORCE_ENDPOINT = json.dumps({"type": "ForceEndpoint"})
KEEP_ALIVE = json.dumps({"type": "KeepAlive"})


def update_configuration(**parameters: Any) -> str:
    """A message that changes parameters in the middle of a session."""
    return json.dumps({"type": "UpdateConfiguration", **parameters})


# What the service says.


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the embedded service tells of a message: the truth to check a measurement against.

    Attributes
    ----------
    arrived, left : float
        When the deciding audio arrived, and when this message left; seconds on the host's
        monotonic clock.
    samples : int
        How many samples the service had received with the audio that decided the message.
    cause : str
        ``"word"``, ``"silence"``, ``"terminate"`` or ``"force_endpoint"``.
    """

    arrived: float
    left: float
    samples: int
    cause: str


@dataclass(frozen=True, slots=True)
class Begin:
    """The session is open; audio may flow."""

    id: str
    expires_at: int
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the service hears it; `start` and `end` in seconds of audio."""

    text: str
    start: float
    end: float
    confidence: float = 0.0
    final: bool = False


@dataclass(frozen=True, slots=True)
class Turn:
    """The state of one turn; a later message of the same `order` replaces an earlier one."""

    order: int
    transcript: str
    words: tuple[Word, ...]
    end_of_turn: bool
    formatted: bool = False
    confidence: float = 0.0
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Termination:
    """The service has finished; durations in whole seconds, as it states them."""

    audio: float
    session: float
    bytes_received: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceError:
    """The service gives up; a close with the same code follows."""

    code: int | None
    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A message that measuring needs nothing of; `fault` tells when it could not be read."""

    type: str
    fault: str | None = None


Reply = Begin | Turn | Termination | ServiceError | Other


def parse(text: str | bytes) -> Reply:
    """Read a message of the service; one that cannot be read becomes `Other` with its fault."""
    try:
        message = json.loads(text)
        return _read(message)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        return Other("unreadable", f"{type(error).__name__}: {error}")


def _read(message: Any) -> Reply:
    kind = message.get("type")
    if kind == "Turn":
        return Turn(
            order=int(message["turn_order"]),
            transcript=str(message["transcript"]),
            words=tuple(_word(word) for word in message["words"]),
            end_of_turn=bool(message["end_of_turn"]),
            formatted=bool(message.get("turn_is_formatted", False)),
            confidence=float(message.get("end_of_turn_confidence", 0.0)),
            stamp=_stamp(message.get("loopback")),
        )
    if kind == "Begin":
        configuration = message.get("configuration") or {}
        return Begin(str(message["id"]), int(message["expires_at"]), configuration.get("model"))
    if kind == "Termination":
        return Termination(
            audio=float(message["audio_duration_seconds"]),
            session=float(message["session_duration_seconds"]),
            bytes_received=(message.get("loopback") or {}).get("bytes"),
        )
    if kind == "Error" or (kind is None and "error" in message):
        code = message.get("error_code")
        return ServiceError(None if code is None else int(code), str(message.get("error", "")))
    return Other(str(kind))


def _word(word: Mapping[str, Any]) -> Word:
    start, end = float(word["start"]) / 1000, float(word["end"]) / 1000
    if not (math.isfinite(start) and math.isfinite(end)):
        raise ValueError(f"the word {word['text']!r} has no finite times")
    return Word(
        text=str(word["text"]),
        start=start,
        end=end,
        confidence=float(word.get("confidence", 0.0)),
        final=bool(word.get("word_is_final", False)),
    )


def _stamp(stamp: Mapping[str, Any] | None) -> Stamp | None:
    if stamp is None:
        return None
    return Stamp(
        float(stamp["arrived"]), float(stamp["left"]), int(stamp["samples"]), str(stamp["cause"])
    )
