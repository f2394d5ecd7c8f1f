"""How Speechmatics ends sessions: by the type of its error, and by its codes."""

from __future__ import annotations

from rtkit.services.close_codes import ending
from rtkit.services.speechmatics.client import Speechmatics

AGAIN = "Try again after 5 to 10 s."
ENDINGS = (
    ending(
        "key refused",
        *(4001, 401),
        said="not_authorised",
        fix=f"Copy the key again, into {Speechmatics.KEY_VARIABLE}; it is sent after the word "
        "Bearer.",
    ),
    ending("not authorized", 4003, said="not_allowed", cause="The account may not do that."),
    ending("no credit", 1011, said="insufficient_funds"),
    ending(
        "too many new sessions",
        4005,
        said="quota_exceeded",
        cause="More sessions were open than the account allows (2 for a free one).",
        fix="End every session with EndOfStream; try again after 5 to 10 s.",
        wait=10.0,
    ),
    ending(
        "bad input",
        4004,
        said="invalid_model",
        cause="The service has no such model or language.",
        fix="Choose another model= or language.",
    ),
    ending(
        "bad input",
        1003,
        said="invalid_; data_error; protocol_error",
        cause="The service rejected a parameter, a message, or the audio.",
    ),
    ending("sent too fast", 1011, said="buffer_error"),
    ending(
        "idle",
        1008,
        said="idle_timeout",
        cause="No audio came for too long (an hour), or pings went unanswered for 3 min.",
        fix="Send audio, and end sessions with EndOfStream.",
    ),
    ending(
        "session too long",
        *(4006, 1008),
        said="session_timeout; timelimit_exceeded",
        cause="The session, or the account, reached its maximum duration (48 h a session).",
    ),
    ending(
        "idle",
        1008,
        cause="No audio came for an hour, pings went unanswered for 3 min, or the session lasted "
        "for 48 h.",
        fix="Send audio, and end sessions with EndOfStream.",
    ),
    ending("service fault", 4013, 1011, said="job_error; unknown_error", fix=AGAIN, wait=5.0),
)
