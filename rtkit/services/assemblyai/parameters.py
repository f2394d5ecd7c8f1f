"""The parameters of an AssemblyAI session: in the URL, and updated during the session.

Unknown names are ignored, as by the real service, and so are parameters without effect here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from rtkit.services.asked import Asked
from rtkit.services.assemblyai.client import DEFAULT_MODEL, DIALECT
from rtkit.services.messages import Refusal, Rules

__all__ = ["changed", "configuration", "invalid", "language", "read_rules"]

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
# Seconds from a turn's onset to when the newest family first tells of it, by the mode, as others
# measured; nobody measured the last.
MODES = {"min_latency": 0.58, "balanced": 1.17, "max_accuracy": 1.17}

# Seconds of silence, least and most, by the family of the model. Those of the newest family are
# not published: others saw gaps of 0.25 s never end a turn, whatever the mode, and its finals come
# 0.42 s after the last word; its most is that of u3-rt-pro.
LEAST = 0.27
SILENCES = {"universal": (0.4, 1.28), "u3": (0.1, 1.0), "u3.5": (LEAST, 1.0)}

RENAMED = {
    "min_end_of_turn_silence_when_confident": "min_turn_silence",
    "noise_suppression_model": "voice_focus",
}
CHANGEABLE = (
    *("end_of_turn_confidence_threshold", "min_turn_silence", "max_turn_silence"),
    *("vad_threshold", "format_turns", "filter_profanity", "interruption_delay", "mode"),
    *("session_heartbeat", "acknowledge_silence", "continuous_partials"),
    *("prompt", "agent_context", "keyterms_prompt", "language_codes"),
)
MOST = {"prompt": 1750, "agent_context": 1750, "keyterms_prompt": 100, "language_codes": 10}
STARTING = 0.256  # seconds that the service adds to interruption_delay, as others found


def invalid(text: str) -> Refusal:
    """How the service refuses what it cannot take."""
    return Refusal(3006, f"User Input Validation Error: {text}")


def read_rules(query: Mapping[str, str]) -> Rules:
    """What a URL's parameters come to.

    Raises
    ------
    Refusal
        With code 3006, if the service does not accept a value.
    """
    query = _renamed(query)
    for name, largest in MOST.items():
        _check_size(name, query.get(name, ""), largest)
    asked = Asked(query, invalid)
    model = asked.choice("speech_model", MODELS) or DEFAULT_MODEL
    family = _family(model)
    least, most = SILENCES[family]
    mode, floor = _mode(asked, family), LEAST if family == "u3.5" else 0.0
    labels, redacts = asked.truth("speaker_labels"), asked.truth("redact_pii")
    rates = DIALECT.limits.rates
    assert rates is not None
    return Rules(
        rate=asked.whole("sample_rate", 16000, rates[0], rates[-1]),
        encoding=_encoding(query),
        model=model,
        semantic=family != "universal",
        format_turns=asked.truth("format_turns"),
        threshold=asked.number("end_of_turn_confidence_threshold", 0.4, 0, 1),
        vad=asked.number("vad_threshold", 0.4 if family == "universal" else 0.3, 0, 1),
        min_silence=max(floor, asked.whole("min_turn_silence", 1000 * least, 50, 10000) / 1000),
        max_silence=max(floor, asked.whole("max_turn_silence", 1000 * most, 0, 60000) / 1000),
        partials=asked.truth("include_partial_turns", True) and not redacts,
        continuous=asked.truth("continuous_partials", not labels),
        early=_early(asked, mode),
        silences=asked.truth("acknowledge_silence") and family != "universal",
        heartbeat=asked.truth("session_heartbeat") and family == "u3.5",
        inactivity=_inactivity(asked),
    )


def configuration(query: Mapping[str, str]) -> dict[str, Any]:
    """What Begin repeats of what was asked for.

    Raises
    ------
    Refusal
        As `read_rules`.
    """
    query = _renamed(query)
    asked = Asked(query, invalid)
    model = query.get("speech_model", DEFAULT_MODEL)
    return {
        "model": model,
        "mode": _mode(asked, _family(model)),
        "api_version": "2025-05-12",
        "speaker_labels": asked.truth("speaker_labels"),
        "redact_pii": asked.truth("redact_pii"),
        "filter_profanity": asked.truth("filter_profanity"),
        "domain": asked.choice("domain", ("medical-v1",)),
        "voice_focus": asked.choice("voice_focus", ("near-field", "far-field")),
    }


def language(query: Mapping[str, str]) -> str | None:
    """What is said to have been detected, where that is asked for: what the client expects.

    Nothing here hears in which language somebody speaks.
    """
    asked = Asked(_renamed(query), invalid)
    if not asked.truth("language_detection"):
        return None
    try:
        codes = json.loads(asked.text("language_codes", [])) or [asked.text("language_code", "en")]
    except ValueError:
        raise invalid("Invalid 'language_codes': it is not a JSON array") from None
    code = codes[0] if isinstance(codes, list) else codes
    return "en" if code == "multi" else str(code)


def changed(query: Mapping[str, str], message: Mapping[str, Any]) -> dict[str, str]:
    """The parameters with what UpdateConfiguration brings; what must stay is let pass."""
    changes = {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in _renamed(message).items()
        if name in CHANGEABLE and value is not None
    }
    return {**_renamed(query), **changes}


def _renamed(query: Mapping[str, Any]) -> dict[str, Any]:
    """Under today's names, which win over the old ones."""
    return {RENAMED.get(name, name): value for name, value in query.items()} | {
        name: query[name] for name in RENAMED.values() if name in query
    }


def _check_size(name: str, text: str, most: int) -> None:
    """Of a text its characters are counted, of a list in JSON what is in it."""
    try:
        items = json.loads(text)
    except (ValueError, RecursionError):
        items = text
    size = len(items if isinstance(items, list) else text)
    if size > most:
        raise invalid(f"Invalid '{name}': {size} are more than {most}")


def _family(model: str) -> str:
    if model.startswith(("universal-3", "_universal-3")):
        return "u3.5"
    return "u3" if model.startswith("u3") else "universal"


def _encoding(query: Mapping[str, str]) -> str:
    encoding = query.get("encoding", "pcm_s16le")
    if encoding in ("opus", "ogg_opus", "aac"):
        raise invalid(
            f"Invalid 'encoding': '{encoding}' cannot be decoded by the embedded service; "
            "send pcm_s16le or pcm_mulaw",
        )
    if encoding not in ("pcm_s16le", "pcm_mulaw"):
        raise invalid(f"Invalid 'encoding': '{encoding[:60]}' is not a valid Encoding")
    return encoding


def _mode(asked: Asked, family: str) -> str | None:
    if family == "u3.5":
        return asked.choice("mode", tuple(MODES), "balanced")
    if "mode" in asked.given:
        raise invalid("Invalid 'mode': this speech_model has no modes")
    return None


def _early(asked: Asked, mode: str | None) -> float:
    if mode is not None and "interruption_delay" not in asked.given:
        return MODES[mode]
    return asked.whole("interruption_delay", 500, 0, 1000) / 1000 + STARTING


def _inactivity(asked: Asked) -> float | None:
    name = "inactivity_timeout"
    return float(asked.whole(name, 5, 5, 3600)) if name in asked.given else None
