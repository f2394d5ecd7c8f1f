"""How Deepgram ends sessions, and refuses them: by its words, and by its codes."""

from __future__ import annotations

from rtkit.services.close_codes import HTTP, ending
from rtkit.services.deepgram.client import Deepgram

ENDINGS = (
    ending(
        "key refused",
        401,
        said="invalid_auth",
        fix=f"Copy the key again, into {Deepgram.KEY_VARIABLE}; it is sent after the word Token.",
    ),
    ending("no credit", 402, said="payment_required"),
    ending(
        "too many new sessions",
        429,
        said="too_many_requests",
        cause="More sessions were open than the account allows.",
        fix="End sessions with CloseStream, and wait before the next one.",
        wait=5.0,
    ),
    ending(
        "bad input",
        400,
        said="bad request",
        evidence=HTTP,
        cause="The service rejected a parameter.",
        fix="Its message names it. Flux (/v2/listen) takes none of v1's, and models named flux-... "
        "only.",
    ),
    ending(
        "bad input",
        1008,
        said="data-0000",
        cause="The service could not decode the audio, or understand a message.",
        fix="Check that encoding and sample_rate match the audio, and that messages are text "
        "frames.",
    ),
    ending(
        "idle",
        1011,
        said="net-0001",
        cause="No audio and no KeepAlive came for 10 s.",
        fix='Send audio, or {"type": "KeepAlive"} as a text message every 3 to 5 s.',
    ),
    ending("service fault", 1011, said="internal_server_error"),
    ending(
        "service fault",
        1011,
        said="net-0000",
        cause="The service did not reply in time.",
        fix="Try again later; check that audio was sent.",
    ),
    ending(
        "service fault",
        1011,
        cause="The service failed, or got no audio and no KeepAlive for 10 s.",
        fix="Check that audio, or KeepAlive, was sent without long pauses, and try again.",
    ),
)
