"""What `diagnose` returns: common mistakes, each with its evidence and fix."""

from __future__ import annotations

from dataclasses import dataclass

from rtkit.markup import Table

__all__ = ["Mistake", "Mistakes"]


@dataclass(frozen=True, slots=True)
class Mistake:
    """A mistake that the recorded facts show.

    Attributes
    ----------
    name : str
        ``"unpaced"``, ``"naive drift"``, ``"wrong sample rate"``, ``"stereo"``, ``"no Terminate"``,
        ``"WAV header"``, ``"chunk out of bounds"``, ``"Bearer prefix"``, ``"counted twice"``,
        ``"closed too soon"``, ``"turn never ended"``, ``"shifted times"``, ``"no partials"``,
        ``"cadence"``, ``"drifting times"``, ``"not PCM"``, ``"not 16-bit"``, ``"big-endian"``,
        ``"odd offset"``, ``"channels cancel"``, ``"one channel silent"``, ``"channels silent"``,
        ``"silent"``, ``"very quiet"``, ``"clipped"`` or ``"not a number"``.
    sentence : str
        What the mistake is, and what it causes.
    evidence : str
        The value that shows it, with its unit.
    fix : str
        What to do.
    service : str
        How the real service reacts, as far as known.
    """

    name: str
    sentence: str
    evidence: str
    fix: str
    service: str = "Not documented."


_HEADINGS = ("mistake", "what it is", "what shows it", "fix", "what the real service does")


class Mistakes(tuple[Mistake, ...]):
    """What `diagnose` found; empty, and so false, where there is nothing to say."""

    __slots__ = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(mistake.name for mistake in self)

    def __str__(self) -> str:
        if not self:
            return "no common mistake found"
        return "\n".join(
            f"{one.name}: {one.evidence}. {one.sentence} {one.fix} (The service: {one.service})"
            for one in self
        )

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self:
            return f"<p>{self}</p>"
        corner, *columns = _HEADINGS
        rows = tuple(
            (one.name, (one.sentence, one.evidence, one.fix, one.service), "") for one in self
        )
        return Table(tuple(columns), rows, corner=corner)._repr_html_()
