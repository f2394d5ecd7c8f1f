"""Why a session ended, and how to fix it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, cast

from rtkit.services.close_codes import COMMON, GENERAL, Closure, Closures
from rtkit.services.endpoint import Closed
from rtkit.services.messages import ServiceError
from rtkit.services.service import ASSEMBLYAI, UNKNOWN, dialect_named, part_of

__all__ = [
    "CLOSED_EARLY",
    "FLOOD",
    "OTHER_AUDIO",
    "close_codes",
    "explain",
    "explain_own",
    "explain_status",
]

_ANOTHER = "Check that the address is that of a speech-to-text service, and try again."
CLOSED_EARLY = COMMON["closed early"]
# Why this side breaks a connection off.
FLOOD = Closure(
    "flood",
    "The service sent more than rtkit accepts in a session, which is more than speech needs.",
    _ANOTHER,
    False,
)
_TOO_BIG = Closure(
    "result too large",
    "The service sent a message larger than rtkit accepts (1 MiB), which no result needs.",
    _ANOTHER,
    False,
)
_UNREADABLE = Closure(
    "unreadable",
    "The service, or a proxy in front of it, sent bytes that are not a websocket message.",
    "Check the network, especially proxies, and try again: a new session starts at 0.",
    False,
)
_NO_ANSWER = Closure(
    "no reply",
    "Nothing arrived in time.",
    "Check the network and try again, or increase the timeout.",
    True,
)
# Said by a replay of the embedded service, whoever the vendor is.
OTHER_AUDIO = "and other audio came"
_OTHER_AUDIO = Closure(
    "other audio",
    "The client sent other audio than that of the session that the service replays.",
    "Send the same recording from its beginning to its end, or record a session with yours.",
    False,
)
# What clients and systems say where there is no code.
_LOST = re.compile(
    "no close frame received|remote host was lost|connection reset|connection aborted|broken pipe",
    re.IGNORECASE,
)
_LATE = re.compile("timed? ?out", re.IGNORECASE)
_UNREACHED = re.compile(
    "connection refused|unreachable|getaddrinfo|not known|resolution|certificate", re.IGNORECASE
)
# Where a code stands in what people paste: as websockets, other clients, and logs write it. The one
# that was received comes first, because the other side repeats it.
_PASTED = (
    r"received (\d{4})\b",
    r"\bHTTP(?:/[\d.]+)?[ :]+(\d{3})\b",
    r"\b(?:status|response)(?: code)?[ :=]+(\d{3})\b",
    r"\b(?:error_|close |status |Close)?code[\"']?[ :=]+(\d{3,4})\b",
    r"\bclosed?(?: with)?[ :=]+(\d{4})\b",
)
_BARE = r"(?<![\d.:])(\d{3,4})(?![\d.:]\d| ?(?:ms|s|sec|seconds|bytes|Hz|samples|chunks)\b)\b"


def close_codes(dialect: str = ASSEMBLYAI) -> Closures:
    """All session endings that `explain` knows: first by message, then by code.

    Parameters
    ----------
    dialect : str
        The protocol: the name of a folder in `rtkit.services`.

    Raises
    ------
    ValueError
        If the dialect is unknown.
    """
    own = _own(dialect)
    taken = {code for closure in own for code in closure.codes}
    general = (replace(one, codes=tuple(c for c in one.codes if c not in taken)) for one in GENERAL)
    return Closures((*own, *(one for one in general if one.codes)))


def explain(what: object, text: str = "", *, dialect: str = ASSEMBLYAI) -> Closure:
    """Explain why a session ended or an error occurred, and how to fix it.

    Parameters
    ----------
    what : int, str, None, session, exception or message
        A websocket close code, a service's own code, or the HTTP status of a refused upgrade; None
        if the connection broke without one; or only the service's message. Or anything that
        contains these: a session, an error message (also as a dict), or an exception from rtkit or
        websockets. The message is looked up first, then the code.
    text : str
        With a code: the service's message, with or without a category before it.
    dialect : str
        The protocol that the message and code belong to; a session knows its own.

    Raises
    ------
    TypeError
        If `what` contains nothing about an ending.
    ValueError
        If the dialect is unknown.
    """
    if what is None or (isinstance(what, int) and not isinstance(what, bool)):
        return _by_words_and_code(what, text, dialect)
    if isinstance(what, str):
        number = what.strip()
        if number.isdigit():
            return _by_words_and_code(int(number), text, dialect)
        return _by_words(what, dialect)
    if isinstance(what, Closure):
        return what
    if isinstance(what, Mapping):
        replies = dialect_named(dialect).reader(1).message(what)
        what = next((one for one in replies if isinstance(one, ServiceError)), what)
    if isinstance(what, ServiceError):
        return _by_words_and_code(what.code, what.text, dialect)
    if isinstance(what, Closed):
        return what.why or _by_words_and_code(what.code, what.reason, dialect)
    if hasattr(what, "ending") and hasattr(what, "replies"):
        return _of_session(what)
    if isinstance(what, BaseException):
        return _of_exception(what, dialect)
    if inspect.isawaitable(what):
        if inspect.iscoroutine(what):
            what.close()
        raise TypeError("this call has not run yet: await it, and explain the error that it raises")
    raise TypeError(
        f"{type(what).__name__} says nothing about why a session ended; give a close code, "
        f"the service's message, an exception or a session"
    )


def _own(dialect: str) -> tuple[Closure, ...]:
    """The vendor's own, the particular before the general."""
    if dialect == UNKNOWN:
        return ()
    return cast("tuple[Closure, ...]", part_of(dialect, "close_codes").ENDINGS)


def _by_code(dialect: str) -> dict[int, Closure]:
    """What a code means alone: of several endings that come with it, the last one's."""
    return {code: one for one in (*GENERAL, *_own(dialect)) for code in one.codes}


def _by_words_and_code(code: int | None, text: str, dialect: str) -> Closure:
    words = text.lower()
    if OTHER_AUDIO in words:
        return _OTHER_AUDIO
    for closure in _own(dialect):
        if closure.said and any(phrase in words for phrase in closure.said.split("; ")):
            return closure
    if (known := _by_code(dialect).get(1006 if code is None else code)) is not None:
        return known
    if code in range(100, 600):
        return Closure(
            "refused",
            "No server accepts connections at this address.",
            "Check the address and any proxies; if they are right, try again later.",
            False,
        )
    return Closure(
        "unknown",
        f"The service ended the session with code {code}.",
        "Its message, if any, is the best hint.",
        False,
    )


def explain_status(status: int, said: str, dialect: str) -> Closure:
    """Why a connection was refused; what comes with the status tells more, if it fits that."""
    closure = _by_words_and_code(status, said, dialect)
    return closure if status in closure.codes else _by_words_and_code(status, "", dialect)


def explain_own(code: int) -> Closure:
    """Why this side broke the connection off, by the code that it closed with."""
    return _TOO_BIG if code == 1009 else _UNREADABLE


def _by_words(text: str, dialect: str) -> Closure:
    text = re.sub(r"^\s*(?:\w+\.)+\w+: ", "", text)  # an exception's class is not what was said
    found = _by_words_and_code(-1, text, dialect)
    if found.name != "unknown":
        return found
    if _LOST.search(text):  # whatever this side then sent
        return _by_words_and_code(None, "", dialect)
    known = _by_code(dialect)
    codes = [int(one[1]) for kind in _PASTED for one in re.finditer(kind, text, re.IGNORECASE)]
    codes += [code for code in map(int, re.findall(_BARE, text)) if code in known]
    if codes:
        return _by_words_and_code(codes[0], "", dialect)
    for failure, words in ((_NO_ANSWER, _LATE), (_not_reached(text), _UNREACHED)):
        if words.search(text):
            return failure
    return Closure("unknown", f'rtkit does not know "{text}".', "See the text itself.", False)


def _named(name: str, dialect: str) -> Iterator[Closure]:
    """The endings of that name."""
    known = (*_own(dialect), *GENERAL, _TOO_BIG, _UNREADABLE, FLOOD)
    return (closure for closure in known if closure.name == name)


def _of_session(session: Any) -> Closure:
    dialect, ending = session.settings.dialect, session.ending
    went_on = ending is not None and ending.how == "complete"
    for _, reply in reversed(session.replies):
        if isinstance(reply, ServiceError) and not went_on:
            return _by_words_and_code(reply.code, reply.text, dialect)
    if ending is None:
        return Closure(
            "cut off",
            "The sender was stopped before the session ended: its file has no last line.",
            "Run it again to its end.",
            True,
        )
    if went_on:
        return COMMON["complete"]
    if ending.how == "stopped":
        return Closure("stopped", "The sender ended the session.", "Run it to its end.", True)
    if ending.code not in (None, 1000):
        return _by_words_and_code(ending.code, ending.reason, dialect)
    failed = Closure("failed", ending.error, "The sentence says what to do.", True)
    return next(_named(ending.closure, dialect), failed)


def _of_exception(error: BaseException, dialect: str) -> Closure:
    if (session := getattr(error, "session", None)) is not None:  # StreamError
        return _of_session(session)
    if hasattr(error, "rcvd"):  # websockets' ConnectionClosed
        frame = error.rcvd
        return _by_words_and_code(frame and frame.code, frame.reason if frame else "", dialect)
    if (response := getattr(error, "response", None)) is not None:  # its InvalidStatus
        said = bytes(getattr(response, "body", None) or b"").decode("utf-8", "replace")
        return explain_status(response.status_code, said, dialect)
    if isinstance(error, TimeoutError):
        return _NO_ANSWER
    if isinstance(error, OSError):
        return _not_reached(str(error))
    sentence = str(error) or type(error).__name__  # rtkit's own say cause and fix themselves
    return Closure("refused", sentence, "The sentence says what to change.", False)


def _not_reached(said: str) -> Closure:
    return Closure(
        "not reached",
        f"The service or a file could not be reached: {said.rstrip('.')}.",
        "Check the network, the host name, and the file name.",
        True,
    )
