"""Session endings, by message or code, with their fixes."""

from __future__ import annotations

from dataclasses import dataclass

from rtkit.markup import Table

__all__ = ["Closure", "Closures"]


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
        In a table: words of the service's by which it is told from others.
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
