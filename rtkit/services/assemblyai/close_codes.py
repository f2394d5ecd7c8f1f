"""How AssemblyAI ends sessions: by its words, and by its codes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from rtkit.services.assemblyai.client import KEY_VARIABLE
from rtkit.services.close_codes import DOCUMENTED, HTTP, SEEN, Closure

_BAD_INPUT = Closure(
    "bad input",
    "The service rejected a parameter or a message.",
    "Its message names it.",
    False,
    (3006,),
    SEEN,
)
# Text first: until February 2026 the service gave one code, 3005, to most of these.
TOO_LONG = Closure(
    "session too long",
    "The session reached its maximum duration (3 h, or the token's).",
    "Open a new session; split the recording at a pause.",
    True,
    (3008,),
    DOCUMENTED,
)
BY_WORDS: tuple[tuple[str, Closure], ...] = (
    (
        "missing authorization",
        Closure(
            "no key",
            "The service got no API key.",
            f"Set {KEY_VARIABLE}, or pass AssemblyAI(key=...).",
            False,
            (1008,),
            SEEN,
        ),
    ),
    (
        "too many concurrent sessions",
        Closure(
            "too many new sessions",
            "Sessions were opened faster than the account allows.",
            "Wait at least 60 s before the next one, and end every session with Terminate.",
            True,
            (3009, 1008),
            DOCUMENTED,
            wait=60.0,
        ),
    ),
    (
        "signature has expired",
        Closure(
            "token expired",
            "The temporary token has expired.",
            "Request a new token.",
            False,
            (1008,),
            SEEN,
        ),
    ),
    (
        "insufficient funds",
        Closure(
            "no credit",
            "The account has no credit left.",
            "Add credit to the account.",
            False,
            (1008,),
            SEEN,
        ),
    ),
    (
        "invalid api key",
        Closure(
            "key refused",
            "The service does not know this API key.",
            "Copy the key again, without the word Bearer.",
            False,
            (1008,),
            SEEN,
        ),
    ),
    (
        "input duration violation",
        Closure(
            "chunk out of bounds",
            "A chunk held less than 50 ms or more than 1000 ms of audio.",
            "Choose a chunk duration of 0.05 to 1 s, and check that sample_rate is the file's "
            "own: the service computes durations from it.",
            False,
            (3007,),
            SEEN,
        ),
    ),
    (
        "audio transmission rate exceeded",
        Closure(
            "sent too fast",
            "Audio arrived much faster than real time.",
            "Pace it: pacing='wall_clock'.",
            False,
            (3007,),
            SEEN,
        ),
    ),
    (
        "due to inactivity",
        Closure(
            "idle",
            "Nothing was sent for longer than inactivity_timeout.",
            "Send audio or KeepAlive in time, or request a longer inactivity_timeout.",
            False,
            (3006,),
            SEEN,
        ),
    ),
    (
        "session expired",
        TOO_LONG,
    ),
    (
        "unauthorized connection",
        Closure(
            "not authorized",
            "The service refused the account.",
            "Its message says why; check the account's page.",
            False,
            (1008,),
            DOCUMENTED,
        ),
    ),
    *(
        (phrase, _BAD_INPUT)
        for phrase in ("input validation error", "invalid message", "invalid json", "invalid '")
    ),
)
_EARLIER = {
    "key refused": (4001,),
    "no credit": (4002, 4003),
    "session too long": (4008,),
    "sent too fast": (4029,),
    "idle": (4031,),
    "chunk out of bounds": (4032, 4033, 4034),
    "too many new sessions": (4102,),
    "bad input": (4000, 4004, 4100, 4101, 4104),
}
BY_CODE: Mapping[int, Closure] = {
    401: Closure(
        "key refused",
        "The service does not know this API key.",
        "Copy the key again, without the word Bearer.",
        False,
        (401,),
        HTTP,
    ),
    404: Closure(
        "nothing there",
        "The server at this address is not a streaming service.",
        "Check the host name and the path, /v3/ws.",
        False,
        (404,),
        HTTP,
    ),
    3005: Closure(
        "service fault",
        "The service canceled the session.",
        "Try again once or twice.",
        True,
        (3005,),
        DOCUMENTED,
    ),
    3006: _BAD_INPUT,
    3007: Closure(
        "chunk or pace out of bounds",
        "A chunk was outside 50 to 1000 ms, or audio arrived too fast.",
        "Choose a chunk duration of 0.05 to 1 s and pacing='wall_clock'.",
        False,
        (3007,),
        SEEN,
    ),
    3008: TOO_LONG,
    3009: Closure(
        "too many new sessions",
        "Sessions were opened faster than the account allows.",
        "Wait at least 60 s before the next one, and end every session with Terminate.",
        True,
        (3009,),
        DOCUMENTED,
        wait=60.0,
    ),
    # Of the service's earlier protocol; clients know them still.
    **{
        code: replace(closure, codes=codes, evidence=DOCUMENTED, said="")
        for name, codes in _EARLIER.items()
        for closure in [next(one for _, one in BY_WORDS if one.name == name)]
        for code in codes
    },
}
