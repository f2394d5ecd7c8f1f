"""How Soniox ends requests: by the codes in its errors, which are HTTP's."""

from __future__ import annotations

from rtkit.services.close_codes import ending
from rtkit.services.soniox.client import Soniox

ENDINGS = (
    ending(
        "session too long",
        503,
        said="cannot continue request",
        cause="The service cannot go on with this request (after 300 min at the latest).",
        fix="Open a new one; split the recording at a pause.",
    ),
    ending("sent too fast", 400, said="too fast"),
    ending("bad input", 400),
    ending(
        "key refused",
        401,
        fix=f"Copy the key again, into {Soniox.KEY_VARIABLE}; it is sent after the word Bearer.",
    ),
    ending(
        "no credit",
        402,
        cause="The account has no credit left, or has reached its monthly budget.",
    ),
    ending(
        "idle",
        408,
        cause="No audio and no keepalive came for 20 s.",
        fix='Send audio, or {"type": "keepalive"} every 5 s.',
    ),
    ending(
        "too many new sessions",
        429,
        cause="More requests were open, or opened in a minute, than the account allows (10; 100).",
        fix="Wait a minute, and end every session with an empty text message.",
    ),
    ending("service fault", 500),
    ending(
        "service busy",
        503,
        cause="The service cannot continue this request, or takes no more of them.",
        fix="Open a new one.",
    ),
)
