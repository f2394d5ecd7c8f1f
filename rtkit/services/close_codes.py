"""Session endings, by message or code, with their fixes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from rtkit.markup import Table

__all__ = ["COMMON", "DOCUMENTED", "GENERAL", "HTTP", "SEEN", "Closure", "Closures", "ending"]


@dataclass(frozen=True, slots=True)
class Closure:
    """Why a session ended.

    Attributes
    ----------
    name : str
        A short name of the cause.
    cause, fix : str
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
        Words of the service's, in lower case and with semicolons between them, by any of which it
        is told from others.
    """

    name: str
    cause: str
    fix: str
    retry: bool
    codes: tuple[int, ...] = ()
    evidence: str = ""
    said: str = ""
    wait: float = 0.0

    def __str__(self) -> str:
        again = "Trying again may help." if self.retry else "Trying again does not help."
        if self.name == "complete":  # nothing is to be tried again
            again = ""
        return f"{self.name}: {self.cause} {self.fix} {again}".rstrip()


DOCUMENTED = "the service's documents"
SEEN = "seen at the real service, by others"
WEBSOCKET = "the websocket standard"
HTTP = "HTTP; not seen from the real service"

_LATER = "Try again later."
# What most services mean by it; each says in its own words what is otherwise.
COMMON: Mapping[str, Closure] = {
    one.name: one
    for one in (
        Closure("complete", "The session ended normally.", "Nothing to do.", False),
        Closure(
            "closed early",
            "The service closed the session early.",
            "Try again; if it happens again, check the status of the service.",
            True,
        ),
        Closure(
            "connection lost",
            "The connection broke without a close frame.",
            "Check the network and try again: a new session starts its turns and times at 0.",
            True,
        ),
        Closure(
            "key refused", "The service does not know this API key.", "Copy the key again.", False
        ),
        Closure(
            "not authorized",
            "The service refused the account.",
            "Its message says why; check the account's page.",
            False,
        ),
        Closure(
            "no credit", "The account has no credit left.", "Add credit to the account.", False
        ),
        Closure(
            "too many new sessions",
            "Sessions were opened faster than the account allows.",
            "Wait at least 60 s before the next one, and end every session properly.",
            True,
            wait=60.0,
        ),
        Closure(
            "bad input",
            "The service rejected a parameter or a message.",
            "Its message names it.",
            False,
        ),
        Closure(
            "sent too fast",
            "Audio arrived much faster than real time.",
            "Pace it: pacing='wall_clock'.",
            False,
        ),
        Closure("idle", "No audio came for too long.", "Send audio without long pauses.", False),
        Closure(
            "session too long",
            "The session reached its maximum duration.",
            "Open a new session; split the recording at a pause.",
            True,
        ),
        Closure(
            "message too big",
            "A message was larger than the other side accepts.",
            "Send chunks of at most 1 s.",
            False,
        ),
        Closure(
            "nothing there",
            "The server at this address is not a streaming service.",
            "Check the host name and the path.",
            False,
        ),
        Closure("service fault", "The service failed.", _LATER, True),
        Closure("service busy", "The service is overloaded.", _LATER, True),
        Closure("service restart", "The service restarts.", _LATER, True),
        Closure("service going away", "The service shut down or restarted.", _LATER, True),
    )
}


def ending(
    name: str, *codes: int, said: str = "", evidence: str = DOCUMENTED, **own: Any
) -> Closure:
    """A way in which a service ends sessions: as most do, but for what is its own."""
    return replace(COMMON[name], codes=codes, said=said, evidence=evidence, **own)


# What codes mean where a vendor gives them no meaning of its own.
GENERAL = (
    ending("complete", 1000, evidence=SEEN),
    ending("service going away", 1001, evidence=WEBSOCKET),
    ending("bad input", 1002, 1003, 1007, evidence=WEBSOCKET),
    ending("closed early", 1005, evidence=WEBSOCKET),
    ending("connection lost", 1006, evidence=WEBSOCKET),
    ending("not authorized", 1008, evidence=SEEN),
    ending("message too big", 1009, evidence=WEBSOCKET),
    ending("service fault", 1011, 1014, evidence=WEBSOCKET),
    ending("service restart", 1012, evidence=WEBSOCKET),
    ending("service busy", 1013, evidence=WEBSOCKET),
    ending("bad input", 400, evidence=HTTP),
    ending("key refused", 401, evidence=HTTP),
    ending("no credit", 402, evidence=HTTP),
    ending("not authorized", 403, evidence=HTTP),
    ending("nothing there", 404, 405, 410, 426, evidence=HTTP),
    Closure(
        "proxy refused",
        "A proxy on the way to the service needs a user name and a password.",
        "Set them in https_proxy, as http://USER:PASSWORD@HOST:PORT.",
        False,
        (407,),
        HTTP,
    ),
    ending("idle", 408, evidence=HTTP),
    ending("too many new sessions", 429, evidence=HTTP),
    ending(
        "service busy", 503, evidence=HTTP, cause="The service is down, or takes no more sessions."
    ),
    ending(
        "service fault",
        *(500, 502, 504),
        evidence=HTTP,
        cause="The service, or a proxy in front of it, failed.",
    ),
)


class Closures(tuple[Closure, ...]):
    """How sessions end, as a table; prints as text, and as HTML in a notebook."""

    __slots__ = ()

    def __str__(self) -> str:
        return "\n".join(
            f"{', '.join(map(str, one.codes)):10}  {one}"
            + (f' (its message: "{one.said}")' if one.said else "")
            for one in self
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return Table(
            ("its words", "what it means", "cause", "fix", "retry?", "evidence"),
            tuple(
                (
                    ", ".join(map(str, one.codes)),
                    (
                        one.said,
                        one.name,
                        one.cause,
                        one.fix,
                        "yes" if one.retry else "no",
                        one.evidence,
                    ),
                    "",
                )
                for one in self
            ),
            corner="code",
        )._repr_html_()
