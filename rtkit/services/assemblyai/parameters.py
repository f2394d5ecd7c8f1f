"""What a client asks for: the parameters in the URL, and their changes in the middle of a session.

Parameters that change nothing offline are checked as the real service checks them, and otherwise
let pass; names that are unknown are ignored, as there.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from rtkit.services.assemblyai.client import DEFAULT_MODEL
from rtkit.services.messages import Refusal

__all__ = ["Parameters", "Refusal"]

MODELS = (
    "universal-streaming-english",
    "universal-streaming-multilingual",
    "whisper-rt",
    "u3-rt-pro",
    "u3-rt-pro-beta-1",
    "u3-rt-agent",
    "universal-3-5-pro",
    "universal-3-6-pro",
    "universal-3-6",
    "universal-3-7-preview",
    "_universal-3-5-notetaker",
)
MODES = ("min_latency", "balanced", "max_accuracy")
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off")

# Seconds of silence, least and most, by the family of the model. Those of the newest family are
# not published; its least is what others report of its balanced mode, its most that of u3-rt-pro.
SILENCES = {"universal": (0.4, 1.28), "u3": (0.1, 1.0), "u3.5": (0.128, 1.0)}

RENAMED = {
    "min_end_of_turn_silence_when_confident": "min_turn_silence",
    "noise_suppression_model": "voice_focus",
    "noise_suppression_threshold": "voice_focus_threshold",
}
CHANGEABLE = (
    *("end_of_turn_confidence_threshold", "min_turn_silence", "max_turn_silence"),
    *("vad_threshold", "format_turns", "keyterms_prompt", "filter_profanity", "prompt"),
    *("agent_context", "interruption_delay", "turn_left_pad_ms", "language_codes", "mode"),
    *("session_heartbeat", "acknowledge_silence", "continuous_partials"),
)
MIN_RATE, MAX_RATE = 8000, 96000
LONGEST_PROMPT = 1750  # characters
MOST_KEYTERMS = 100
MOST_LANGUAGES = 10
STARTING = 0.256  # seconds that the service adds to interruption_delay, as others found


@dataclass(frozen=True, slots=True)
class Parameters:
    """The parameters that matter offline; times in seconds.

    Attributes
    ----------
    rate, encoding, model :
        As the URL says; they stay for the session.
    family : {"universal", "u3", "u3.5"}
        Of the model: by it turns end, and partial messages come.
    format_turns : bool
        Only asked of the family ``"universal"``; the others always format.
    threshold : float
        The confidence above which the shorter silence ends a turn (``"universal"`` only).
    vad : float
        The probability of speech below which a piece of audio is silence.
    min_silence, max_silence : float
    partials, continuous : bool
        Whether turns are told while they last, and (newer models) in long ones again and again.
    early : float
        How long after a turn's onset newer models tell of it first.
    silences, heartbeat : bool
        Whether newer models tell of each second of silence, and the newest, every 5 s, that the
        session lives.
    inactivity : float or None
        After so long without a message the session ends.
    configuration : mapping
        What `Begin` repeats of the parameters.
    """

    rate: int
    encoding: str
    model: str
    family: str
    format_turns: bool
    threshold: float
    vad: float
    min_silence: float
    max_silence: float
    partials: bool
    continuous: bool
    early: float
    silences: bool
    heartbeat: bool
    inactivity: float | None
    configuration: Mapping[str, Any]
    _query: Mapping[str, str] = field(repr=False)  # may hold a token

    @classmethod
    def read(cls, query: Mapping[str, str]) -> Parameters:
        """Read a URL's parameters.

        Raises
        ------
        Refusal
            With code 3006, if a value is none that the service takes.
        """
        query = _renamed(query)
        model = _choice(query, "speech_model", MODELS) or DEFAULT_MODEL
        family = _family(model)
        least, most = SILENCES[family]
        labels, redacts = _truth(query, "speaker_labels"), _truth(query, "redact_pii")
        _check_the_rest(query)
        return cls(
            rate=_whole(query, "sample_rate", 16000, MIN_RATE, MAX_RATE),
            encoding=_encoding(query),
            model=model,
            family=family,
            format_turns=_truth(query, "format_turns"),
            threshold=_number(query, "end_of_turn_confidence_threshold", 0.4, 0, 1),
            vad=_number(query, "vad_threshold", 0.4 if family == "universal" else 0.3, 0, 1),
            min_silence=_whole(query, "min_turn_silence", 1000 * least, 50, 10000) / 1000,
            max_silence=_whole(query, "max_turn_silence", 1000 * most, 0, 60000) / 1000,
            partials=_truth(query, "include_partial_turns", True) and not redacts,
            continuous=_truth(query, "continuous_partials", not labels),
            early=_whole(query, "interruption_delay", 500, 0, 1000) / 1000 + STARTING,
            silences=_truth(query, "acknowledge_silence") and family != "universal",
            heartbeat=_truth(query, "session_heartbeat") and family == "u3.5",
            inactivity=_inactivity(query),
            configuration={
                "model": model,
                "mode": _mode(query, family),
                "api_version": "2025-05-12",
                "speaker_labels": labels,
                "redact_pii": redacts,
                "filter_profanity": _truth(query, "filter_profanity"),
                "domain": _choice(query, "domain", ("medical-v1",)),
                "voice_focus": _choice(query, "voice_focus", ("near-field", "far-field")),
            },
            _query=query,
        )

    def changed(self, message: Mapping[str, Any]) -> Parameters:
        """With what UpdateConfiguration brings; what must stay for a session is let pass.

        Raises
        ------
        Refusal
            As `read`.
        """
        changes = {
            name: value if isinstance(value, str) else json.dumps(value)
            for name, value in _renamed(message).items()
            if name in CHANGEABLE and value is not None
        }
        return Parameters.read({**self._query, **changes})


def _renamed(query: Mapping[str, Any]) -> dict[str, Any]:
    """Under today's names, which win over the old ones."""
    return {RENAMED.get(name, name): value for name, value in query.items()} | {
        name: query[name] for name in RENAMED.values() if name in query
    }


def _family(model: str) -> str:
    if model.startswith(("universal-3", "_universal-3")):
        return "u3.5"
    return "u3" if model.startswith("u3") else "universal"


def _encoding(query: Mapping[str, str]) -> str:
    encoding = query.get("encoding", "pcm_s16le")
    if encoding in ("opus", "ogg_opus", "aac"):
        raise Refusal(
            3006,
            f"Invalid 'encoding': '{encoding}' cannot be decoded by the embedded service; "
            "send pcm_s16le or pcm_mulaw",
        )
    if encoding not in ("pcm_s16le", "pcm_mulaw"):
        raise Refusal(3006, f"Invalid 'encoding': '{encoding[:60]}' is not a valid Encoding")
    return encoding


def _mode(query: Mapping[str, str], family: str) -> str | None:
    if family == "u3.5":
        return _choice(query, "mode", MODES, "balanced")
    if "mode" in query:
        raise Refusal(3006, "Invalid 'mode': this speech_model has no modes")
    return None


def _inactivity(query: Mapping[str, str]) -> float | None:
    name = "inactivity_timeout"
    return float(_whole(query, name, 5, 5, 3600)) if name in query else None


def _check_the_rest(query: Mapping[str, str]) -> None:
    """Parameters that change nothing offline; a client should still hear of a wrong one."""
    for name in ("prompt", "agent_context"):
        if (length := len(query.get(name, ""))) > LONGEST_PROMPT:
            raise Refusal(3006, f"Invalid '{name}': {length} characters; at most {LONGEST_PROMPT}")
    for name, most in (("keyterms_prompt", MOST_KEYTERMS), ("language_codes", MOST_LANGUAGES)):
        if (length := len(_texts(query, name))) > most:
            raise Refusal(3006, f"Invalid '{name}': {length} entries; at most {most}")
    _whole(query, "previous_context_n_turns", 0, 0, 100)
    _whole(query, "max_speakers", 1, 1, 10)
    _number(query, "voice_focus_threshold", 0, 0, 1)
    _truth(query, "language_detection")


def _texts(query: Mapping[str, str], name: str) -> list[str]:
    try:
        texts = json.loads(query.get(name, "[]"))
    except (ValueError, RecursionError):
        texts = None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(3006, f"Invalid '{name}': not a JSON array of strings")
    return texts


def _choice(
    query: Mapping[str, str], name: str, choices: tuple[str, ...], default: str | None = None
) -> str | None:
    value = query.get(name, default)
    if value is not None and value not in choices:
        raise Refusal(3006, f"Invalid '{name}': '{value[:60]}' is not one of {', '.join(choices)}")
    return value


def _truth(query: Mapping[str, str], name: str, default: bool = False) -> bool:
    text = query.get(name, str(default))
    if text.lower() not in TRUE + FALSE:
        raise Refusal(3006, f"Invalid '{name}': '{text[:60]}' is neither true nor false")
    return text.lower() in TRUE


def _number(
    query: Mapping[str, str], name: str, default: float, lowest: float, highest: float
) -> float:
    text = query.get(name, str(default))
    try:
        value = float(text)
    except ValueError:
        raise Refusal(3006, f"Invalid '{name}': '{text[:60]}' is not a number") from None
    if not lowest <= value <= highest:
        raise Refusal(
            3006, f"Invalid '{name}': {text[:60]} is not between {lowest:g} and {highest:g}"
        )
    return value


def _whole(
    query: Mapping[str, str], name: str, default: float, lowest: float, highest: float
) -> int:
    value = _number(query, name, default, lowest, highest)
    if not value.is_integer():
        raise Refusal(3006, f"Invalid '{name}': {value:g} is not a whole number")
    return int(value)
