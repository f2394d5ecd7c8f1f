"""What any service says, in rtkit's own words; times in seconds of audio."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Begin", "Other", "Reply", "ServiceError", "Stamp", "Termination", "Turn", "Word"]


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
