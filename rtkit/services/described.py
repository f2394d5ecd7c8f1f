"""Descriptions of services for older session files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["usual_of"]

# Seeds make repeats and limits end sessions; neither makes another service.
PASSED_OVER = ("seed", "backlog", "max_duration")
USUAL = {
    "delay_spread": 0,
    "max_speed": 1.25,
    "finals": 1,
    "format_turns": False,
    "host": "streaming.assemblyai.com",
}
MODEL = "universal-streaming-english"  # of the embedded service


def usual_of(service: Mapping[str, Any]) -> Mapping[str, Any]:
    """What goes without saying of a service, by what a session records of it."""
    if "usual" in service:
        return dict(service["usual"])
    usual = {**USUAL, **{name: service[name] for name in PASSED_OVER if name in service}}
    return {**usual, "speech_model": MODEL} if "engine" in service else usual
