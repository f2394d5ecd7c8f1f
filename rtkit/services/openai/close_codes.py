"""How OpenAI's Realtime API, or vLLM's, ends sessions: by the code in its error."""

from __future__ import annotations

from rtkit.services.close_codes import HTTP, ending
from rtkit.services.openai.client import OpenAI

ENDINGS = (
    ending(
        "key refused",
        401,
        said="invalid_api_key; missing bearer",
        evidence=HTTP,
        fix=f"Copy the key again, into {OpenAI.KEY_VARIABLE}; it is sent after the word Bearer.",
    ),
    ending("no credit", 429, said="insufficient_quota"),
    ending(
        "too many new sessions",
        429,
        said="rate_limit_exceeded",
        evidence=HTTP,
        cause="The account's limit of sessions, or of audio a minute, was reached.",
        fix="Wait a minute before the next one.",
    ),
    ending(
        "session too long",
        1001,
        said="session_expired",
        cause="The session reached its maximum duration (60 min), or was idle for too long.",
    ),
    ending(
        "sent too fast",
        1011,
        said="buffer_full",
        cause="More audio is waiting than the server accepts.",
    ),
    ending("service fault", 1011, said="server_error"),
    ending(
        "bad input",
        *(3000, 400),
        said="invalid_; unknown_parameter; missing_required_parameter; model_not_found",
        cause="The service rejected a parameter or an event.",
    ),
)
