"""AssemblyAI's Streaming API v3 without any I/O: the URL and the messages.

Times on the wire are integer milliseconds; everything that leaves this module is in seconds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import urlencode

from rtkit.services.account import Keyed
from rtkit.services.assemblyai.mistakes import HABITS
from rtkit.services.endpoint import Address, Endpoint, as_texts, only_public
from rtkit.services.messages import (
    Begin,
    Other,
    Reply,
    ServiceError,
    Termination,
    Turn,
    Word,
)
from rtkit.services.service import Dialect, Limits, Reader, Step

__all__ = ["DIALECT", "AssemblyAI"]

DEFAULT_MODEL = "universal-streaming-english"
KEY_VARIABLE = "ASSEMBLYAI_API_KEY"
HOST = "streaming.assemblyai.com"
PATH = "/v3/ws"
PUBLIC = frozenset(  # parameters that hold no secret
    (
        *("sample_rate", "encoding", "speech_model", "format_turns", "formatted_finals"),
        *("end_of_turn_confidence_threshold", "vad_threshold", "min_turn_silence"),
        *("max_turn_silence", "min_end_of_turn_silence_when_confident", "turn_left_pad_ms"),
        *("word_finalization_max_wait_time", "keyterms", "keyterms_prompt", "prompt"),
        *("agent_context", "previous_context_n_turns", "language", "language_code"),
        *("language_codes", "language_detection", "mode", "interruption_delay"),
        *("continuous_partials", "include_partial_turns", "speaker_labels", "max_speakers"),
        *("speaker_labels_revision_interval_ms", "domain", "voice_focus"),
        *("voice_focus_threshold", "noise_suppression_model", "filter_profanity", "redact_pii"),
        *("redact_pii_policies", "redact_pii_sub", "session_heartbeat", "acknowledge_silence"),
        *("inactivity_timeout",),
    )
)


@dataclass(frozen=True, kw_only=True)
class AssemblyAI(Keyed):
    """AssemblyAI's Streaming API v3.

    Parameters
    ----------
    key : str, optional
        The API key; by default, the environment variable ASSEMBLYAI_API_KEY. Never shown or saved.
    speech_model : str
        The model. The model. Always sent, because the service's own default has changed over time.
    format_turns : bool
        Ask for casing and punctuation. Some models then send two final messages per turn.
    host : str
        ``streaming.assemblyai.com``, or ``streaming.us...`` or ``streaming.eu...`` to keep data in
        that region. For an unencrypted service on this machine, an address:
        ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further session parameters, under the service's own names. Values of parameters that rtkit
        does not know are treated as secrets: they are sent, but never shown or saved.
    """

    NAME: ClassVar[str] = "AssemblyAI"
    KEY_VARIABLE: ClassVar[str] = KEY_VARIABLE
    SESSIONS_PER_MINUTE: ClassVar[int | None] = 5  # new ones, for a free account

    host: str = HOST
    speech_model: str = DEFAULT_MODEL
    format_turns: bool = False

    async def connect_info(self, rate: int, reference: object = None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects.

        Raises
        ------
        ValueError
            If there is no key, or `host` is not a websocket address.
        """
        asked = as_texts(
            {
                "speech_model": self.speech_model,
                "format_turns": self.format_turns,
                **self.parameters,
            }
        )
        DIALECT.check(asked)
        base = Address(self.host).base(PATH)  # as the embedded service prints its own
        return endpoint(base, self.find_key(), rate, asked)  # the key comes last

    def describe(self, reference: object = None) -> dict[str, Any]:
        """What a session records of its service; the key is not in it."""
        return {
            "name": self.NAME,
            "dialect": "assemblyai",
            "usual": {"host": HOST, "format_turns": False},
            "host": Address(self.host).shown,
            "speech_model": self.speech_model,
            "format_turns": self.format_turns,
            "parameters": only_public(self.parameters, PUBLIC),
        }


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    """Where a session connects; lists and objects travel as JSON text, booleans in lower case."""
    query = {"sample_rate": str(rate), "encoding": "pcm_s16le", **as_texts(parameters)}
    return Endpoint(f"{base}{PATH}?{urlencode(query)}", {"Authorization": key})


# What the client says. Audio goes as binary messages and needs no words.

TERMINATE = json.dumps({"type": "Terminate"})
FORCE_ENDPOINT = json.dumps({"type": "ForceEndpoint"})
KEEP_ALIVE = json.dumps({"type": "KeepAlive"})


def update_configuration(**parameters: Any) -> str:
    """A message that changes parameters in the middle of a session."""
    return json.dumps({"type": "UpdateConfiguration", **parameters})


# What the service says.


class Messages(Reader):
    """Reads the service's messages; a turn comes as a whole each time."""

    def message(self, message: Any) -> Iterator[Reply]:
        kind = message.get("type")
        if kind == "Turn":
            yield Turn(
                order=int(message["turn_order"]),
                transcript=str(message["transcript"]),
                words=tuple(_word(word) for word in message["words"]),
                end_of_turn=bool(message["end_of_turn"]),
                formatted=bool(message.get("turn_is_formatted", False)),
                confidence=float(message.get("end_of_turn_confidence", 0.0)),
            )
        elif kind == "Begin":
            configuration = message.get("configuration") or {}
            yield Begin(str(message["id"]), int(message["expires_at"]), configuration.get("model"))
        elif kind == "Termination":
            yield Termination(
                audio=float(message["audio_duration_seconds"]),
                session=float(message["session_duration_seconds"]),
            )
        elif kind == "Error" or (kind is None and "error" in message):
            code = message.get("error_code")
            yield ServiceError(None if code is None else int(code), str(message.get("error", "")))
        else:
            yield Other(str(kind))


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


DIALECT = Dialect(
    habits=HABITS,
    vendor=AssemblyAI,
    path=PATH,
    public=PUBLIC,
    endpoint=endpoint,
    reader=Messages,
    model_parameter="speech_model",
    default_model=DEFAULT_MODEL,
    formatting={"format_turns": True},
    sent_as={"encoding": "pcm_s16le"},
    shutdown=lambda chunks: (Step(TERMINATE, Termination),),
    limits=Limits(
        min_chunk=0.05,
        max_chunk=1.0,
        rates=range(8000, 96001),
        otherwise="it closes the session (3007)",
    ),
)
