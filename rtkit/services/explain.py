"""Why a session ended, and what to do about it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from rtkit.services.assemblyai.client import parse
from rtkit.services.assemblyai.closures import _BY_CODE, _BY_TEXT
from rtkit.services.closures import HTTP, Closure, Closures
from rtkit.services.endpoint import Closed
from rtkit.services.messages import ServiceError

__all__ = ["close_codes", "explain", "explain_own"]

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


def close_codes() -> Closures:
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
    return next((closure for closure in close_codes() if closure.cause in sentence), None)


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
