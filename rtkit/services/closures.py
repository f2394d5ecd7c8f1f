"""How a session ends, and what to do about it: by the service's words, or by a code."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtkit.services.assemblyai.client import KEY_VARIABLE, Closed, ServiceError, parse

__all__ = ["Closure", "Closures", "closures", "explain", "explain_own"]


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a session ended.

    Attributes
    ----------
    name : str
        A short name of the cause.
    cause, cure : str
        What was wrong, and what to do; a sentence each.
    retry : bool
        Whether the same thing, tried again, may work.
    wait : float
        How many seconds to wait before that, at least.
    codes : tuple of int
        The codes that come with it; the first is today's.
    evidence : str
        How it is known.
    said : str
        In a table: words of the service's by which it is told from others.
    """

    name: str
    cause: str
    cure: str
    retry: bool
    codes: tuple[int, ...] = ()
    evidence: str = ""
    said: str = ""
    wait: float = 0.0

    def __str__(self) -> str:
        again = "Trying again may help." if self.retry else "Trying again does not help."
        if self.name == "complete":  # nothing is to be tried again
            again = ""
        return f"{self.name}: {self.cause} {self.cure} {again}".rstrip()


DOCUMENTED = "the service's documents"
SEEN = "seen at the real service, by others"
WEBSOCKET = "the websocket standard"
HTTP = "HTTP; the real service was not seen to send it"

# Text first: until February 2026 the service gave one code, 3005, to most of these.
_BY_TEXT: tuple[tuple[str, Closure], ...] = (
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
            "The temporary token has run out.",
            "Ask for a new token.",
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
            "Add credit to it.",
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
            "Copy the key anew; it goes without the word Bearer.",
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
            "Choose a chunk duration of 0.05 to 1 s, and see that sample_rate is the file's own: "
            "the service reckons durations by it.",
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
            "Send audio or KeepAlive in time, or ask for a longer inactivity_timeout.",
            False,
            (3006,),
            SEEN,
        ),
    ),
    (
        "session expired",
        Closure(
            "session too long",
            "The session reached its longest duration (3 h, or the token's).",
            "Open a new session; split the recording at a pause.",
            True,
            (3008,),
            DOCUMENTED,
        ),
    ),
    (
        "unauthorized connection",
        Closure(
            "not authorised",
            "The service refused the account.",
            "Its own words say why; look at the account's page.",
            False,
            (1008,),
            DOCUMENTED,
        ),
    ),
    (
        "invalid",
        Closure(
            "bad input",
            "The service could not accept a parameter or a message.",
            "Its own words name it; mend that.",
            False,
            (3006,),
            SEEN,
        ),
    ),
)

_BY_CODE: Mapping[int, Closure] = {
    1000: Closure(
        "complete", "The session ended as it should.", "Nothing to do.", False, (1000,), SEEN
    ),
    1001: Closure(
        "service going away",
        "The service shut down or restarted.",
        "Try again in a while.",
        True,
        (1001,),
        WEBSOCKET,
    ),
    1006: Closure(
        "connection lost",
        "The connection broke without a word.",
        "Look at the network and try again: a new session starts its turns and times at 0.",
        True,
        (1006,),
        WEBSOCKET,
    ),
    1008: Closure(
        "not authorised",
        "The service refused the key or the account.",
        "Look at the key and at the account's page.",
        False,
        (1008,),
        SEEN,
    ),
    1009: Closure(
        "message too big",
        "A message was larger than the other side accepts.",
        "Send chunks of at most 1 s.",
        False,
        (1009,),
        WEBSOCKET,
    ),
    1011: Closure(
        "service fault",
        "The service met a fault.",
        "Try again in a while.",
        True,
        (1011,),
        WEBSOCKET,
    ),
    1012: Closure(
        "service restart",
        "The service restarts.",
        "Try again in a while.",
        True,
        (1012,),
        WEBSOCKET,
    ),
    1013: Closure(
        "service busy",
        "The service is overloaded.",
        "Try again in a while.",
        True,
        (1013,),
        WEBSOCKET,
    ),
    3005: Closure(
        "service fault",
        "The service cancelled the session.",
        "Try again once or twice.",
        True,
        (3005,),
        DOCUMENTED,
    ),
    3006: Closure(
        "bad input",
        "The service could not accept a parameter or a message.",
        "Its own words name it; mend that.",
        False,
        (3006,),
        SEEN,
    ),
    3007: Closure(
        "chunk or pace out of bounds",
        "A chunk was outside 50 to 1000 ms, or audio arrived too fast.",
        "Choose a chunk duration of 0.05 to 1 s and pacing='wall_clock'.",
        False,
        (3007,),
        SEEN,
    ),
    3008: Closure(
        "session too long",
        "The session reached its longest duration (3 h, or the token's).",
        "Open a new session; split the recording at a pause.",
        True,
        (3008,),
        DOCUMENTED,
    ),
    3009: Closure(
        "too many new sessions",
        "Sessions were opened faster than the account allows.",
        "Wait at least 60 s before the next one, and end every session with Terminate.",
        True,
        (3009,),
        DOCUMENTED,
        wait=60.0,
    ),
}

# Why this side breaks a connection off, by the code that it then closes with.
_BY_OWN_CODE: Mapping[int, Closure] = {
    1009: Closure(
        "message too big",
        "The service sent a message larger than rtkit accepts (1 MiB), which no answer needs.",
        "See that the address is a speech-to-text service's, and try again.",
        False,
    ),
}
_UNREADABLE = Closure(
    "unreadable",
    "The service, or something on the way to it, sent bytes that are no websocket message.",
    "Look at the network, a proxy above all, and try again: a new session starts at 0.",
    False,
)

_FAULTS = (500, 502, 503, 504)

# HTTP answers to the upgrade; the real service accepts it and refuses later, proxies do not.
_BY_STATUS: Mapping[int, Closure] = {
    401: Closure(
        "key refused",
        "The service does not know this API key.",
        "Copy the key anew; it goes without the word Bearer.",
        False,
        (401,),
        HTTP,
    ),
    403: Closure(
        "not authorised",
        "The service refused the account.",
        "Its own words say why; look at the account's page.",
        False,
        (403,),
        HTTP,
    ),
    404: Closure(
        "nothing there",
        "Something answered that has no streaming service at this address.",
        "Look at the host's name and at the path, /v3/ws.",
        False,
        (404,),
        HTTP,
    ),
    429: Closure(
        "too many new sessions",
        "Sessions were opened faster than the account allows.",
        "Wait at least 60 s before the next one, and end every session with Terminate.",
        True,
        (429,),
        HTTP,
    ),
    **dict.fromkeys(
        _FAULTS,
        Closure(
            "service fault",
            "The service, or what stands before it, met a fault.",
            "Try again in a while.",
            True,
            _FAULTS,
            HTTP,
        ),
    ),
}


class Closures(tuple[Closure, ...]):
    """How sessions end, as a table; prints as text, and as HTML in a notebook."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(
            f"{', '.join(map(str, one.codes)):10}  {one}"
            + (f' (its words: "{one.said}")' if one.said else "")
            for one in self
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        style = 'style="text-align: left; vertical-align: top; padding: 2px 12px"'
        names = ("code", "its words", "what it means", "cause", "cure", "retry?", "evidence")
        rows = (
            (
                ", ".join(map(str, one.codes)),
                one.said,
                one.name,
                one.cause,
                one.cure,
                "yes" if one.retry else "no",
                one.evidence,
            )
            for one in self
        )
        head = "".join(f"<th {style}>{name}</th>" for name in names)
        body = "".join(
            "<tr>" + "".join(f"<td {style}>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in rows
        )
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def closures() -> Closures:
    """Every ending that `explain` knows: first those told by their words, then by code alone."""
    worded = (replace(closure, said=phrase) for phrase, closure in _BY_TEXT)
    statuses = dict.fromkeys(_BY_STATUS.values())  # several may mean the same
    return Closures((*worded, *_BY_CODE.values(), *statuses))


def explain(what: object, text: str = "") -> Closure:
    """The cause and the cure of an ending or an error: by its words first, then by its code.

    Parameters
    ----------
    what : int, str, None, session, exception or message
        A websocket close code, an `error_code`, or the HTTP status of a refused upgrade; None
        where the connection broke without one; the service's words alone. Or what holds these: a
        session, an Error message (also as a dict), an exception, be it rtkit's or websockets'.
    text : str
        With a code: what the service said, with or without a category before it.

    Raises
    ------
    TypeError
        If nothing in `what` tells of an ending.
    """
    if what is None or (isinstance(what, int) and not isinstance(what, bool)):
        return _by_words_and_code(what, text)
    if isinstance(what, str):
        number = what.strip()
        return _by_words_and_code(int(number), text) if number.isdigit() else _by_words(what)
    if isinstance(what, Closure):
        return what
    if isinstance(what, Mapping):
        what = parse(json.dumps(dict(what)))
    if isinstance(what, ServiceError):
        return _by_words_and_code(what.code, what.text)
    if isinstance(what, Closed):
        return _by_words_and_code(what.code, what.reason)
    if hasattr(what, "ending") and hasattr(what, "replies"):
        return _of_session(what)
    if isinstance(what, BaseException):
        return _of_exception(what)
    raise TypeError(
        f"{type(what).__name__} tells of no ending; give a close code, the service's words, an "
        "exception or a session"
    )


def _by_words_and_code(code: int | None, text: str) -> Closure:
    words = text.lower()
    for phrase, closure in _BY_TEXT:
        if phrase in words:
            return closure
    number = 1006 if code is None else code
    known = _BY_CODE.get(number) or _BY_STATUS.get(number)
    if known is not None:
        return known
    if code in range(300, 600):
        return Closure(
            "refused",
            "Nobody there opens a session.",
            "Look at the address and at proxies on the way; if they are right, try again in a "
            "while.",
            False,
        )
    return Closure(
        "unknown",
        f"The service ended the session with the code {code}.",
        "Its own words, if any, are the best hint.",
        False,
    )


def explain_own(code: int) -> Closure:
    """Why this side broke the connection off, by the code that it closed with."""
    return _BY_OWN_CODE.get(code, _UNREADABLE)


def _by_words(text: str) -> Closure:
    """By words alone: a sentence of rtkit's that holds a cause, or the service's."""
    found = _by_cause(text) or _by_words_and_code(-1, text)
    if found.name != "unknown":
        return found
    return Closure("unknown", f'Nothing is known of "{text}".', "Look at it as it stands.", False)


def _by_cause(sentence: str) -> Closure | None:
    return next((closure for closure in closures() if closure.cause in sentence), None)


def _of_session(session: Any) -> Closure:
    for _, reply in reversed(session.replies):
        if isinstance(reply, ServiceError):
            return _by_words_and_code(reply.code, reply.text)
    ending = session.ending
    if ending is None:
        return Closure(
            "cut off",
            "The sender was ended before the session was: its file has no last line.",
            "Run it again to its end.",
            True,
        )
    if ending.how == "complete":
        return _BY_CODE[1000]
    if ending.how == "stopped":
        return Closure("stopped", "The sender ended the session.", "Run it to its end.", True)
    if ending.code not in (None, 1000):
        return _by_words_and_code(ending.code, ending.reason)
    return _by_cause(ending.error) or Closure(
        "failed", ending.error, "The sentence says what to do.", True
    )


def _of_exception(error: BaseException) -> Closure:
    if (session := getattr(error, "session", None)) is not None:  # StreamError
        return _of_session(session)
    if hasattr(error, "rcvd"):  # websockets' ConnectionClosed
        frame = error.rcvd
        return _by_words_and_code(frame and frame.code, frame.reason if frame else "")
    if (response := getattr(error, "response", None)) is not None:  # its InvalidStatus
        return _by_words_and_code(response.status_code, "")
    if isinstance(error, TimeoutError):
        return Closure(
            "no answer",
            "Nothing came within the time that was given.",
            "Look at the network and try again, or give it longer.",
            True,
        )
    if isinstance(error, OSError):
        return Closure(
            "not reached",
            f"The service or a file could not be reached: {error}.",
            "Look at the network, the host's name, and the file's.",
            True,
        )
    sentence = str(error) or type(error).__name__  # rtkit's own say cause and cure themselves
    return _by_cause(sentence) or Closure(
        "refused", sentence, "The sentence says what to change.", False
    )
