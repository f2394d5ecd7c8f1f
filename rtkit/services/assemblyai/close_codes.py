"""How AssemblyAI ends sessions: by its words, and by its codes."""

from __future__ import annotations

from rtkit.services.assemblyai.client import KEY_VARIABLE
from rtkit.services.close_codes import DOCUMENTED, HTTP, SEEN, Closure, ending

CROWDED = "Wait at least 60 s before the next one, and end every session with Terminate."
KEY = "Copy the key again, without the word Bearer."
# The words come first: until February 2026 the service gave one code, 3005, to most of these. The
# codes from 4000 on are of its earlier protocol; clients know them still.
ENDINGS = (
    Closure(
        "no key",
        "The service got no API key.",
        f"Set {KEY_VARIABLE}, or pass AssemblyAI(key=...).",
        False,
        (1008,),
        SEEN,
        "missing authorization",
    ),
    ending(
        "too many new sessions",
        *(3009, 1008, 4102),
        said="too many concurrent sessions",
        fix=CROWDED,
    ),
    Closure(
        "token expired",
        "The temporary token has expired.",
        "Request a new token.",
        False,
        (1008,),
        SEEN,
        "signature has expired",
    ),
    ending("no credit", 1008, 4002, 4003, said="insufficient funds", evidence=SEEN),
    ending("key refused", 1008, 4001, said="invalid api key", evidence=SEEN, fix=KEY),
    ending("key refused", 401, evidence=HTTP, fix=KEY),
    Closure(
        "chunk out of bounds",
        "A chunk held less than 50 ms or more than 1000 ms of audio.",
        "Choose a chunk duration of 0.05 to 1 s, and check that sample_rate is the file's own: the "
        "service computes durations from it.",
        False,
        (3007, 4032, 4033, 4034),
        SEEN,
        "input duration violation",
    ),
    ending("sent too fast", 3007, 4029, said="audio transmission rate exceeded", evidence=SEEN),
    Closure(
        "chunk or pace out of bounds",
        "A chunk was outside 50 to 1000 ms, or audio arrived too fast.",
        "Choose a chunk duration of 0.05 to 1 s and pacing='wall_clock'.",
        False,
        (3007,),
        SEEN,
    ),
    ending(
        "idle",
        *(3006, 4031),
        said="due to inactivity",
        evidence=SEEN,
        cause="Nothing was sent for longer than inactivity_timeout.",
        fix="Send audio or KeepAlive in time, or request a longer inactivity_timeout.",
    ),
    ending(
        "session too long",
        *(3008, 4008),
        said="session expired",
        cause="The session reached its maximum duration (3 h, or the token's).",
    ),
    ending("not authorized", 1008, said="unauthorized connection"),
    ending(
        "bad input",
        *(3006, 4000, 4004, 4100, 4101, 4104),
        said="input validation error; invalid message; invalid json; invalid '",
        evidence=SEEN,
    ),
    ending(
        "service fault",
        3005,
        cause="The service canceled the session.",
        fix="Try again once or twice.",
    ),
    Closure(
        "taken over",
        "The session was closed already, or was continued on another connection.",
        "Open a new session, on one connection.",
        True,
        (4010, 4030, 4103),
        DOCUMENTED,
    ),
    ending("nothing there", 404, evidence=HTTP, fix="Check the host name and the path, /v3/ws."),
)
