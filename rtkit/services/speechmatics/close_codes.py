"""How Speechmatics ends sessions: by the type of its error, and by its codes."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.close_codes import DOCUMENTED, Closure
from rtkit.services.speechmatics.client import Speechmatics

NO_KEY = Closure(
    "key refused",
    "The service does not know this API key.",
    f"Copy the key again, into {Speechmatics.KEY_VARIABLE}; it is sent after the word Bearer.",
    False,
    (4001,),
    DOCUMENTED,
)
NOT_ALLOWED = Closure(
    "not authorized",
    "The account may not do that.",
    "Its message says why; check the account's page.",
    False,
    (4003,),
    DOCUMENTED,
)
NO_CREDIT = Closure(
    "no credit",
    "The account has no credit left.",
    "Add credit to the account.",
    False,
    (),
    DOCUMENTED,
)
BAD_INPUT = Closure(
    "bad input",
    "The service rejected a parameter, a message, or the audio.",
    "Its message names it.",
    False,
    (1003,),
    DOCUMENTED,
)
NO_MODEL = Closure(
    "bad input",
    "The service has no such model or language.",
    "Choose another model= or language.",
    False,
    (4004,),
    DOCUMENTED,
)
CROWDED = Closure(
    "too many new sessions",
    "More sessions were open than the account allows (2 for a free one).",
    "End every session with EndOfStream; try again after 5 to 10 s.",
    True,
    (4005,),
    DOCUMENTED,
    wait=10.0,
)
FAULT = Closure(
    "service fault",
    "The service failed.",
    "Try again after 5 to 10 s.",
    True,
    (4013, 1011),
    DOCUMENTED,
    wait=5.0,
)
TOO_FAST = Closure(
    "sent too fast",
    "Audio arrived much faster than real time.",
    "Pace it: pacing='wall_clock'.",
    False,
    (),
    DOCUMENTED,
)
IDLE = Closure(
    "idle",
    "No audio came for too long (an hour), or pings went unanswered for 3 min.",
    "Send audio, and end sessions with EndOfStream.",
    False,
    (1008,),
    DOCUMENTED,
)
TOO_LONG = Closure(
    "session too long",
    "The session, or the account, reached its maximum duration (48 h a session).",
    "Open a new session; split the recording at a pause.",
    True,
    (1008, 4006),
    DOCUMENTED,
)
BY_WORDS: tuple[tuple[str, Closure], ...] = (
    ("not_authorised", NO_KEY),
    ("not_allowed", NOT_ALLOWED),
    ("insufficient_funds", NO_CREDIT),
    ("quota_exceeded", CROWDED),
    ("invalid_model", NO_MODEL),
    ("invalid_", BAD_INPUT),
    ("data_error", BAD_INPUT),
    ("protocol_error", BAD_INPUT),
    ("buffer_error", TOO_FAST),
    ("idle_timeout", IDLE),
    ("session_timeout", TOO_LONG),
    ("timelimit_exceeded", TOO_LONG),
    ("job_error", FAULT),
    ("unknown_error", FAULT),
)
BY_CODE: Mapping[int, Closure] = {
    1003: BAD_INPUT,
    1008: IDLE,
    1011: FAULT,
    4001: NO_KEY,
    4003: NOT_ALLOWED,
    4004: NO_MODEL,
    4005: CROWDED,
    4006: TOO_LONG,
    4013: FAULT,
}
