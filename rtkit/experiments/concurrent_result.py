"""The result of concurrent sessions, and whether the host kept up."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from rtkit.analysis.checks.validity import BUDGET
from rtkit.analysis.statistics.quantiles import Quantiles, quantiles
from rtkit.analysis.timing.latency import Latency, turn_latency, word_latency
from rtkit.boundary.text import counted
from rtkit.recording import StreamError
from rtkit.session import Session

__all__ = ["ConcurrentResult"]


@dataclass(frozen=True)
class ConcurrentResult:
    """Sessions that ran concurrently.

    Attributes
    ----------
    sessions : tuple of Session
        In the order of the clips. A session that failed holds what was recorded up to then.
    errors : tuple of StreamError
        Of the sessions that failed, in the same order.
    seconds : float
        From the start of the first session to the very last chunk.
    cpu : float
        Processor time that this process used meanwhile, in seconds, for everything it did.
    unwritten : tuple of StreamError
        Of the sessions that are complete in memory but whose files could not be written.
    """

    sessions: tuple[Session, ...]
    errors: tuple[StreamError, ...]
    seconds: float
    cpu: float
    unwritten: tuple[StreamError, ...] = ()

    @cached_property
    def lateness(self) -> np.ndarray:
        """Lateness of every chunk of every session, in seconds, shape (all chunks,)."""
        return np.concatenate([np.empty(0), *(one.lateness for one in self.sessions)])

    @property
    def busy(self) -> float:
        """Share of one core that this process used."""
        return self.cpu / self.seconds if self.seconds else 0.0

    @property
    def cpu_per_chunk(self) -> float:
        """Processor time per chunk, in seconds, for everything that this process did."""
        return self.cpu / len(self.lateness) if len(self.lateness) else 0.0

    @property
    def saturated(self) -> bool:
        """Whether this host was too slow to send this many sessions on time.

        It was if more than one chunk in a hundred was late by more than a tenth of its duration.
        The same loop receives the results, equally late, so the latencies then measure the host and
        not the service. Sessions whose connection was full do not count: the other side, or the
        network, delayed them.
        """
        free = [one.lateness for one in self.sessions if not _was_full(one)]
        late = np.concatenate([np.empty(0), *free])
        return bool(len(late)) and quantiles(late).p99 > BUDGET * self.sessions[0].settings.chunk

    def summary(self) -> str:
        """The main results, one per line; without latencies if the host is saturated."""
        return "\n".join(self._lines())

    def _lines(self) -> Iterator[str]:
        sessions = counted(len(self.sessions), "session")
        were = "was" if len(self.sessions) == 1 else "were"
        yield (
            f"{sessions} at once, {counted(len(self.lateness), 'chunk')} in "
            f"{self.seconds:.1f} s, {self.cpu_per_chunk * 1e6:.0f} µs of CPU per chunk, "
            f"{self.busy:.2f} of a core"
        )
        yield f"{'lateness':<20}{_in_ms(quantiles(self.lateness))}"
        if self.saturated:
            yield (
                "The host is saturated: it sends late and receives late, so no latency is shown."
                " " + self._cure()
            )
        else:
            for name, measure in (("word", word_latency), ("turn", turn_latency)):
                found = [latency for one in self.sessions if len(latency := measure(one))]
                for part in ("latency", "service_time") if found else ():
                    label = f"{name} {part.replace('_', ' ')}"
                    yield f"{label:<20}{_in_ms(_pooled(found, part))}"
        if full := sum(map(_was_full, self.sessions)):
            yield (
                f"{full} of {sessions} {were} delayed by a full connection: "
                f"the service or the network was too slow."
            )
        for error, count in _counted(self.errors).items():
            yield f"{count} of {sessions} failed: {error}"
        for error, count in _counted(self.unwritten).items():
            yield f"{count} of {sessions} {were} not recorded: {error}"

    def _cure(self) -> str:
        if self.busy > 0.8:
            return (
                f"This process took {self.busy:.0%} of a core: use fewer sessions, or several "
                f"processes."
            )
        return (
            f"This process used only {self.busy:.0%} of a core: something else on the host, "
            f"or in this loop, delayed it."
        )

    __str__ = summary

    def __repr__(self) -> str:
        state = ", host saturated" if self.saturated else ""
        return (
            f"<ConcurrentResult of {counted(len(self.sessions), 'session')}, "
            f"{len(self.errors)} failed; "
            f"lateness p99 {quantiles(self.lateness).p99 * 1000:.2f} ms{state}>"
        )


def _was_full(session: Session) -> bool:
    """Whether a chunk waited for its way out, and others behind it."""
    bound = BUDGET * session.settings.chunk
    return any(chunk.returned - chunk.sent > bound for chunk in session.chunks)


def _pooled(latencies: Sequence[Latency], part: str) -> Quantiles:
    known = [one.counted & (one.decided | (part == "latency")) for one in latencies]
    values = [getattr(one, part)[here] for one, here in zip(latencies, known, strict=True)]
    return quantiles(np.concatenate(values))


def _counted(errors: Sequence[StreamError]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for error in errors:
        counts[str(error)] = counts.get(str(error), 0) + 1
    return counts


def _in_ms(values: Quantiles) -> str:
    if np.isnan(values.p50):
        return "none was counted"
    p50, p95, p99, most = (
        value * 1000 for value in (values.p50, values.p95, values.p99, values.max)
    )
    return f"p50 {p50:.2f}  p95 {p95:.2f}  p99 {p99:.2f}  max {most:.2f} ms"
