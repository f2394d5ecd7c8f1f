"""How Soniox ends requests: by the codes in its errors, which are HTTP's."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.close_codes import DOCUMENTED, Closure
from rtkit.services.soniox.client import Soniox

BY_WORDS: tuple[tuple[str, Closure], ...] = (
    (
        "cannot continue request",
        Closure(
            "session too long",
            "The service cannot go on with this request (after 300 min at the latest).",
            "Open a new one; split the recording at a pause.",
            True,
            (503,),
            DOCUMENTED,
        ),
    ),
    (
        "too fast",
        Closure(
            "sent too fast",
            "Audio arrived much faster than real time.",
            "Pace it: pacing='wall_clock'.",
            False,
            (400,),
            DOCUMENTED,
        ),
    ),
)
BY_CODE: Mapping[int, Closure] = {
    400: Closure(
        "bad input",
        "The service rejected a parameter or a message.",
        "Its message names it.",
        False,
        (400,),
        DOCUMENTED,
    ),
    401: Closure(
        "key refused",
        "The service does not know this API key.",
        f"Copy the key again, into {Soniox.KEY_VARIABLE}; it is sent after the word Bearer.",
        False,
        (401,),
        DOCUMENTED,
    ),
    402: Closure(
        "no credit",
        "The account has no credit left, or has reached its monthly budget.",
        "Add credit to the account.",
        False,
        (402,),
        DOCUMENTED,
    ),
    408: Closure(
        "idle",
        "No audio and no keepalive came for 20 s.",
        'Send audio, or {"type": "keepalive"} every 5 s.',
        False,
        (408,),
        DOCUMENTED,
    ),
    429: Closure(
        "too many new sessions",
        "More requests were open, or opened in a minute, than the account allows (10; 100).",
        "Wait a minute, and end every session with an empty text message.",
        True,
        (429,),
        DOCUMENTED,
        wait=60.0,
    ),
    500: Closure(
        "service fault",
        "The service failed.",
        "Try again later.",
        True,
        (500,),
        DOCUMENTED,
    ),
}
