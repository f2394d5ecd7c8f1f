"""Sessions built by hand, a fact at a time, and sessions of a script in virtual time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from conftest import simulate, spoken

from rtkit.audio import Clip, open_clip
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.reference import Reference
from rtkit.sending.stream import stream
from rtkit.services.messages import Turn
from rtkit.session import Chunk, Ending, Event, Message, Session, Settings

RATE = 1000  # a sample a millisecond
CALL = Path(__file__).parents[1] / "data" / "library_call.wav"

Heard = tuple[str, float, float] | tuple[str, float, float, bool]


def settings(**changes: Any) -> Settings:
    first = Settings("call.wav", RATE, 0, RATE, 1, "WAV PCM_16", 0.1, "wall_clock")
    return replace(first, **changes)


def chunks(lateness: Sequence[float], *, seconds: float = 0.1) -> tuple[Chunk, ...]:
    """Chunks of equal length, each due when it was spoken, and so late."""
    size = round(seconds * RATE)
    return tuple(
        Chunk(
            i, i * size, (i + 1) * size, (i + 1) * size / RATE, (i + 1) * size / RATE + late,
            (i + 1) * size / RATE + late, 2 * size,
        )
        for i, late in enumerate(lateness)
    )  # fmt: skip


def turn(
    at: float,
    *words: Heard,
    order: int = 0,
    final: bool = False,
    formatted: bool = False,
    decided: int | None = None,
    cause: str = "silence",
) -> Message:
    """A Turn that came at `at`; a word is (text, start, end), and True behind it if it stays.

    `decided` is how many samples the service says it had by then: without it, no stamp.
    """
    said = [(word[0], word[1], word[2], final or len(word) == 4) for word in words]
    message: dict[str, Any] = {
        "type": "Turn",
        "turn_order": order,
        "turn_is_formatted": formatted,
        "end_of_turn": final,
        "transcript": " ".join(text for text, _, _, stays in said if stays),
        "end_of_turn_confidence": 0.9,
        "words": [
            {
                "text": text,
                "start": start * 1000,
                "end": end * 1000,
                "confidence": 1,
                "word_is_final": stays,
            }
            for text, start, end, stays in said
        ],
    }
    if decided is not None:
        message["loopback"] = {"arrived": 0, "left": 0, "samples": decided, "cause": cause}
    return Message(at, json.dumps(message))


def said(*turns: Sequence[tuple[str, float, float]]) -> Reference:
    """A reference of several turns; a word is (text, start, end)."""
    return Reference(tuple(turn for words in turns for turn in spoken(*words).turns))


def session(
    lateness: Sequence[float] = (),
    *messages: Message,
    reference: Reference | Sequence[tuple[str, float, float]] | None = None,
    terminated: float | None = None,
    seconds: float = 0.1,
    ending: str | None = "complete",
    **changes: Any,
) -> Session:
    """A session whose chunks were so late, and that got these messages."""
    if reference is not None and not isinstance(reference, Reference):
        reference = spoken(*reference)
    samples = max(1, len(lateness)) * round(seconds * RATE)
    return Session(
        settings(**{"chunk": seconds, "samples": samples, **changes}),
        {},
        "2025-01-01T00:00:00.000+00:00",
        0.0,
        reference,
        chunks(lateness, seconds=seconds),
        messages,
        events=() if terminated is None else (Event(terminated, "terminate"),),
        ending=None if ending is None else Ending(ending),
    )


def unstamped(session: Session) -> Session:
    """The same session with a service that does not say what decided its messages."""

    def strip(message: Message) -> Message:
        said = json.loads(message.text)
        said.pop("loopback", None)
        return Message(message.at, json.dumps(said))

    return replace(session, messages=tuple(map(strip, session.messages)))


def saying(one: Session, change: Callable[[Turn], Turn]) -> Session:
    """The same session with a service whose turns were said otherwise."""
    other = replace(one)
    vars(other)["replies"] = tuple(
        (at, change(reply) if isinstance(reply, Turn) else reply) for at, reply in one.replies
    )
    return other


async def converse(
    clip: Clip,
    *,
    delay: float = 0.15,
    max_speed: float = 1.25,
    query: Mapping[str, str] | None = None,
    finals: int = 1,
    **how: Any,
) -> Session:
    """Stream to the embedded service in memory."""
    script = clip.reference
    assert script is not None
    connection = InMemoryConnection(
        lambda rate: Script(script, rate),
        rate=clip.rate,
        behavior=Behavior(delay, max_speed=max_speed, finals=finals),
        parameters=query,
    )
    found = await stream(clip, connection=connection, **how)
    service = {"name": "embedded", "engine": "script", "delay": delay, "max_speed": max_speed}
    return replace(found, settings=replace(found.settings, service=service))


def call(seconds: float = 25, **how: Any) -> Session:
    """The bundled call, streamed in virtual time."""
    return simulate(converse(open_clip(CALL, seconds=seconds), **how))
