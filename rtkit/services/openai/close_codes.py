"""How OpenAI's Realtime API, or vLLM's, ends sessions: by the code in its error."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.close_codes import DOCUMENTED, HTTP, Closure
from rtkit.services.openai.client import OpenAI

NO_KEY = Closure(
    "key refused",
    "The service does not know this API key.",
    f"Copy the key again, into {OpenAI.KEY_VARIABLE}; it is sent after the word Bearer.",
    False,
    (401,),
    HTTP,
)
BAD_INPUT = Closure(
    "bad input",
    "The service rejected a parameter or an event.",
    "Its message names it.",
    False,
    (3000, 400),
    DOCUMENTED,
)
TOO_LONG = Closure(
    "session too long",
    "The session reached its maximum duration (60 min), or was idle for too long.",
    "Open a new session; split the recording at a pause.",
    True,
    (1001,),
    DOCUMENTED,
)
CROWDED = Closure(
    "too many new sessions",
    "The account's limit of sessions, or of audio a minute, was reached.",
    "Wait a minute before the next one.",
    True,
    (429,),
    HTTP,
    wait=60.0,
)
NO_CREDIT = Closure(
    "no credit",
    "The account has no credit left.",
    "Add credit to the account.",
    False,
    (429,),
    DOCUMENTED,
)
TOO_FAST = Closure(
    "sent too fast",
    "More audio is waiting than the server accepts.",
    "Pace it: pacing='wall_clock'.",
    False,
    (),
    DOCUMENTED,
)
FAULT = Closure(
    "service fault", "The service failed.", "Try again later.", True, (1011,), DOCUMENTED
)
BY_WORDS: tuple[tuple[str, Closure], ...] = (
    ("invalid_api_key", NO_KEY),
    ("missing bearer", NO_KEY),
    ("insufficient_quota", NO_CREDIT),
    ("rate_limit_exceeded", CROWDED),
    ("session_expired", TOO_LONG),
    ("buffer_full", TOO_FAST),
    ("server_error", FAULT),
    ("invalid_", BAD_INPUT),
    ("unknown_parameter", BAD_INPUT),
    ("missing_required_parameter", BAD_INPUT),
    ("model_not_found", BAD_INPUT),
)
BY_CODE: Mapping[int, Closure] = {
    400: BAD_INPUT,
    401: NO_KEY,
    429: CROWDED,
    1001: TOO_LONG,
    1011: FAULT,
    3000: BAD_INPUT,
}
