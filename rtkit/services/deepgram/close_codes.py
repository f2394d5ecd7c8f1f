"""How Deepgram ends sessions, and refuses them: by its words, and by its codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rtkit.services.close_codes import DOCUMENTED, HTTP, Closure
from rtkit.services.deepgram.client import Deepgram

NO_KEY = Closure(
    "key refused",
    "The service does not know this API key.",
    f"Copy the key again, into {Deepgram.KEY_VARIABLE}; it is sent after the word Token.",
    False,
    (401,),
    DOCUMENTED,
)
IDLE = Closure(
    "idle",
    "No audio and no KeepAlive came for 10 s.",
    'Send audio, or {"type": "KeepAlive"} as a text message every 3 to 5 s.',
    False,
    (1011,),
    DOCUMENTED,
)
UNDECODABLE = Closure(
    "bad input",
    "The service could not decode the audio, or understand a message.",
    "Check that encoding and sample_rate match the audio, and that messages are text frames.",
    False,
    (1008,),
    DOCUMENTED,
)
FAULT = Closure(
    "service fault",
    "The service did not reply in time.",
    "Try again later; check that audio was sent.",
    True,
    (1011,),
    DOCUMENTED,
)
BAD_REQUEST = Closure(
    "bad input",
    "The service rejected a parameter.",
    "Its message names it. Flux (/v2/listen) takes none of v1's, and models named flux-... only.",
    False,
    (400,),
    HTTP,
)
CROWDED = Closure(
    "too many new sessions",
    "More sessions were open than the account allows.",
    "End sessions with CloseStream, and wait before the next one.",
    True,
    (429,),
    DOCUMENTED,
    wait=5.0,
)
NO_CREDIT = Closure(
    "no credit",
    "The account has no credit left.",
    "Add credit to the account.",
    False,
    (402,),
    DOCUMENTED,
)
BY_WORDS: tuple[tuple[str, Closure], ...] = (
    ("net-0001", IDLE),
    ("net-0000", FAULT),
    ("data-0000", UNDECODABLE),
    ("invalid_auth", NO_KEY),
    ("too_many_requests", CROWDED),
    ("payment_required", NO_CREDIT),
    ("bad request", BAD_REQUEST),
    ("internal_server_error", replace(FAULT, cause="The service failed.")),
)
BY_CODE: Mapping[int, Closure] = {
    400: BAD_REQUEST,
    401: NO_KEY,
    402: NO_CREDIT,
    429: CROWDED,
    1008: UNDECODABLE,
}
