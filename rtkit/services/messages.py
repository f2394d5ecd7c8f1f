"""The messages between client and service, independent of the vendor.

Times and durations are seconds of audio, counted from the session's first sample. A dialect
(`rtkit.services.service`) translates a vendor's frames into these and back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Literal

from rtkit.boundary.text import told

__all__ = [
    "CAUSES",
    "Audio",
    "Begin",
    "Close",
    "Configure",
    "Configured",
    "Connected",
    "Finalized",
    "Finish",
    "ForceEndpoint",
    "Heartbeat",
    "KeepAlive",
    "Other",
    "Receipt",
    "Refusal",
    "Rejected",
    "Reply",
    "Rules",
    "Said",
    "ServiceError",
    "Silence",
    "SpeechStarted",
    "Stamp",
    "Termination",
    "Turn",
    "Word",
    "check",
]

LARGEST = 1e12  # of any number that a service says
LONGEST_REASON = 123  # bytes, of a close frame

# What a service says.


@dataclass(frozen=True, slots=True)
class Connected:
    """A client is there, and has yet to say what it asks for. Few services say so."""

    id: str


@dataclass(frozen=True, slots=True)
class Begin:
    """The session is open; audio may flow. Not every service says so."""

    id: str
    expires_at: int = 0
    model: str | None = None


@dataclass(frozen=True, slots=True)
class Configured:
    """What the client asked for in the middle of the session holds from now on."""


@dataclass(frozen=True, slots=True)
class Word:
    """A word as the service recognized it.

    `start` and `end` in seconds of audio, or None: some services give no word times. `speaker` is
    what an embedded service knows of who said it; readers leave it out.
    """

    text: str
    start: float | None
    end: float | None
    confidence: float = 0.0
    final: bool = False
    speaker: str | None = None


@dataclass(frozen=True, slots=True)
class Stamp:
    """What the embedded service states about a message: the truth to check a measurement against.

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
class Turn:
    """The state of one turn; a later message of the same `order` replaces an earlier one.

    Attributes
    ----------
    order : int
        The turn's number in the session, from 0.
    transcript : str
    words : tuple of Word
        All of the turn so far: a vendor's appended finals, tokens or deltas are folded in.
    end_of_turn : bool
        Whether the turn is over.
    formatted : bool
        Whether casing and punctuation are in it.
    confidence : float
        That the turn is over.
    eager : bool
        The service takes the turn for over and may still change its mind.
    cause : str or None
        Why the turn ended, where the service says so: ``"silence"``, ``"terminate"``,
        ``"force_endpoint"``.
    heard : float or None
        How much audio the service says it had processed at this message; `heard_by` says how that
        is known.
    stamp : Stamp or None
        From the embedded service only.
    """

    order: int
    transcript: str
    words: tuple[Word, ...]
    end_of_turn: bool
    formatted: bool = False
    confidence: float = 0.0
    eager: bool = False
    cause: str | None = None
    heard: float | None = None
    stamp: Stamp | None = None

    @property
    def heard_by(self) -> Literal["stamped", "stated", "unknown"]:
        """How `heard` is known: by the embedded service's stamp, the service's word, or not."""
        if self.stamp is not None:
            return "stamped"
        return "unknown" if self.heard is None else "stated"


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Somebody speaks, since the instant `at`. Measuring needs none of it: readers say `Other`."""

    at: float


@dataclass(frozen=True, slots=True)
class Silence:
    """There is silence from `start` to `end`. Readers say `Other`."""

    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """So much audio has come since so many seconds, and whether anybody spoke. Readers: `Other`."""

    audio: float
    session: float
    spoken: bool


@dataclass(frozen=True, slots=True)
class Receipt:
    """The service confirms how many chunks of audio it has received."""

    chunks: int


@dataclass(frozen=True, slots=True)
class Finalized:
    """The service has settled all audio that it had, as it was asked to."""


@dataclass(frozen=True, slots=True)
class Termination:
    """The service has finished; durations as it states them, NaN where it does not.

    `bytes_received` is told by the embedded service only.
    """

    audio: float
    session: float
    bytes_received: int | None = None


@dataclass(frozen=True, slots=True)
class ServiceError:
    """The service gives up; it closes the connection, or has no more to say on it.

    `code` is a number of the vendor's, if there is one; `text` are all its words, any name that
    it gives the error included. Unless it `ends` the session, that goes on for as long as the
    service leaves the connection open.
    """

    code: int | None
    text: str
    ends: bool = True


@dataclass(frozen=True, slots=True)
class Rejected:
    """What the client asked for cannot be; the session goes on. Readers say otherwise."""

    text: str


@dataclass(frozen=True, slots=True)
class Other:
    """A message that measuring needs nothing of; `fault` says why it could not be read, if so."""

    type: str
    fault: str | None = None


Reply = (
    Connected
    | Begin
    | Configured
    | Turn
    | SpeechStarted
    | Silence
    | Heartbeat
    | Receipt
    | Finalized
    | Termination
    | ServiceError
    | Rejected
    | Other
)


def check(reply: Reply) -> None:
    """Refuse numbers that no service can mean, and that nothing could be computed with.

    Raises
    ------
    ValueError
    """
    if isinstance(reply, Turn):
        _within(reply.order, reply.confidence, reply.heard)
        for word in reply.words:
            _within(word.start, word.end, word.confidence)
        if (stamp := reply.stamp) is not None:
            _within(stamp.arrived, stamp.left, stamp.samples)
        return
    for one in fields(reply):
        value = getattr(reply, one.name)
        if isinstance(value, int | float):
            unsaid = isinstance(reply, Termination) and math.isnan(value)
            _within(None if unsaid else value)


def _within(*numbers: float | None) -> None:
    for number in numbers:
        if number is not None and not -LARGEST <= number <= LARGEST:  # NaN is not
            raise ValueError(f"the number {told(number, 30)} is not possible")


@dataclass(frozen=True, slots=True)
class Close:
    """The connection is closed, with this code; the reason is cut to what its frame can hold."""

    code: int
    reason: str = ""

    def __post_init__(self) -> None:
        short = self.reason.encode(errors="replace")[:LONGEST_REASON].decode(errors="ignore")
        object.__setattr__(self, "reason", short)


# What a client says.


@dataclass(frozen=True, slots=True)
class Rules:
    """What a client asks for, as far as it changes what an embedded service does.

    Attributes
    ----------
    rate : int
        Samples per second.
    encoding : str
        How the samples travel, by the vendor's own name.
    model : str
        The model's name, for the log.
    semantic : bool
        Turns end where a sentence does, after `min_silence`, or else after `max_silence`; words are
        told in few messages, always formatted, and become final with the turn. Without it, each
        word is told as it comes, and the confidence that the turn is over decides between the two.
    format_turns : bool
        Casing and punctuation in the finals; with `semantic`, always.
    threshold : float
        The confidence above which the shorter silence ends a turn (without `semantic`).
    vad : float
        The probability of speech below which a piece of audio is silence.
    min_silence, max_silence : float
    eager : float or None
        After so much silence the turn is told as over for now; speech may still take it up again.
    partials, continuous : bool
        Whether turns are told while they last, and (`semantic`) in long ones again and again.
    early : float
        How long after a turn's onset it is first told of (`semantic`).
    silences, heartbeat : bool
        Whether each second of silence is told of, and, every 5 s, that the session lives.
    inactivity : float or None
        After so long without a message the session ends.
    """

    rate: int
    encoding: str
    model: str
    semantic: bool = False
    format_turns: bool = False
    threshold: float = 0.4
    vad: float = 0.4
    min_silence: float = 0.4
    max_silence: float = 1.28
    eager: float | None = None
    partials: bool = True
    continuous: bool = True
    early: float = 0.5
    silences: bool = False
    heartbeat: bool = False
    inactivity: float | None = None


@dataclass(frozen=True, slots=True)
class Audio:
    """Audio came: `pcm` as little-endian 16-bit mono, whatever it was sent as, in `size` bytes."""

    pcm: bytes
    size: int


@dataclass(frozen=True, slots=True)
class Configure:
    """These rules hold from now on."""

    rules: Rules


@dataclass(frozen=True, slots=True)
class ForceEndpoint:
    """End the open turn now, and finalize its words."""


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """The client is still there."""


@dataclass(frozen=True, slots=True)
class Finish:
    """No more audio will come; say what is left to say."""


Said = Audio | Configure | Rejected | ForceEndpoint | KeepAlive | Finish | Other


# Why a service refuses a session, or ends it; `rtkit.services.service.Server.refusal` words them.
CAUSES = (
    *("key refused", "no key", "token expired", "too many sessions"),
    *("too fast", "idle", "too long", "too early", "fault"),
)


class Refusal(Exception):
    """A session that cannot begin, or go on, by the service's rules.

    `code` is the vendor's number for it: of a close, or an HTTP status where the connection itself
    is refused. It happens `after` a number of seconds of audio or of time, or when the client
    finishes.
    """

    def __init__(self, code: int, text: str, *, after: float = 0.0) -> None:
        super().__init__(text)
        self.code, self.text, self.after = code, text, after
