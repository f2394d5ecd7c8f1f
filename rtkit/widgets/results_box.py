"""The panel's results: validity, figures, the table, and downloads."""

from __future__ import annotations

import asyncio
import html
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import ipywidgets

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.naming import said, service_of
from rtkit.analysis.statistics.bootstrap import Interval
from rtkit.analysis.statistics.pooling import pool
from rtkit.analysis.summary import notes, summarize
from rtkit.analysis.timing.latency import senders_share_bounds, turn_latency
from rtkit.boundary.text import counted
from rtkit.markup import Table, asset
from rtkit.session import Session
from rtkit.views.units import duration
from rtkit.widgets.downloads import KINDS
from rtkit.widgets.fields import button, dropdown, in_a_row
from rtkit.widgets.wording import in_panel_words

__all__ = ["FEW", "ResultsBox", "draw", "headline"]

ALL = ("all sessions", "")
FEW = 6  # sessions that a figure shows one by one
Figures = list[tuple[Callable[..., object], str, Mapping[str, Session]]]
BY = ("pacing", "chunk")


class ResultsBox(ipywidgets.VBox):  # type: ignore[misc]
    """Figures, the table, files to download, and where the sessions were saved.

    `verdicts`, `last` and `timeline_of` stand above the timeline.
    """

    def __init__(self) -> None:
        self.verdicts = ipywidgets.HTML()
        why = "Bring back the figures of the last run that went well"
        self.last = button("last", "Show the last result", "history", why)
        self.timeline_of = dropdown(
            *("timeline-of", "timeline of", [ALL], "Whose words and turns the timeline shows"),
            layout={"display": "none", "max_width": "30em"},
        )
        self.figure = ipywidgets.HTML(layout={"display": "none"})
        self.table = ipywidgets.HTML()
        self.saved = ipywidgets.HTML()
        self._paths: list[Path] = []
        self.downloads = {
            kind: button(f"take-{kind.lower()}", kind, "download", tooltip)
            for kind, (_, tooltip) in KINDS.items()
        }
        self.take = in_a_row(*self.downloads.values())
        self.take.layout.display = "none"
        for name in ("verdicts", "figure", "table", "saved", "take"):
            getattr(self, name).add_class(f"rt-{name}")
        looks = asset("widgets/panel.css") + asset("views/figure.css")
        style = ipywidgets.HTML(f"<style>{looks}</style>")
        shown = [self.figure, self.table, self.take, self.saved, style]
        super().__init__(shown, layout={"overflow": "visible"})

    def clear(self) -> None:
        self._paths = []
        self.verdicts.value = self.table.value = self.saved.value = ""
        self.figure.layout.display = self.take.layout.display = "none"
        self.timeline_of.layout.display = "none"

    def add_file(self, path: Path) -> None:
        self._paths.append(path)
        files = "".join(f"<li><code>{html.escape(str(one))}</code></li>" for one in self._paths)
        self.saved.value = (
            f"<details{' open' * (len(self._paths) <= 2)}><summary>"
            f"Saved, for <code>rtkit.load_session</code>: "
            f"{counted(len(self._paths), 'file')}</summary>"
            f"<ul>{files}</ul></details>"
        )

    async def show(self, sessions: Mapping[str, Session]) -> None:
        """Show verdicts and the table, then figures: they are drawn in a thread."""
        if not sessions:
            self.clear()
            return
        self.verdicts.value = "".join(_verdicts(sessions))
        every = [ALL] if len(sessions) <= FEW else []
        self.timeline_of.options = [*every, *((said(name), name) for name in sessions)]
        self.timeline_of.layout.display = "flex" if len(sessions) > 1 else "none"
        self.table.value = await asyncio.to_thread(tables, sessions)
        self.figure.value = await asyncio.to_thread(draw, sessions)
        self.figure.layout.display, self.take.layout.display = "block", "flex"

    def as_html(self) -> str:
        """Everything shown, as HTML for pages without widgets; empty if nothing is."""
        if self.figure.layout.display == "none":
            return ""
        style = f"<style>{asset('views/figure.css')}</style>"
        return f"{style}{self.verdicts.value}{self.figure.value}{self.table.value}"


def headline(sessions: Mapping[str, Session], *, stopped: bool) -> str:
    """How late each session ended, and how much of the measured latency was the sender's own."""
    sent = {name: session for name, session in sessions.items() if session.chunks}
    if not sent:
        return "Stopped before anything was sent."
    ends = ", ".join(f"{said(name)} ended {_late(one)}" for name, one in sent.items())
    if len(sent) > FEW:
        ends = f"{len(sent)} sessions"
    text = f"{'Stopped; what was recorded is kept:' if stopped else 'Done:'} {ends}"
    shares = {name: senders_share_bounds(turn_latency(one)) for name, one in sent.items()}
    measured = {name: share for name, share in shares.items() if sum(share) >= 0}  # or it is nan
    if measured and all(one.settings.pacing != "unpaced" for one in sent.values()):
        name = max(measured, key=lambda one: sum(measured[one]))
        low, high = (f"{share:.0%}" for share in measured[name])
        share = low if low == high else f"{low} to {high}"
        text += f"; of {said(name)}'s turn latency the sender made {share} itself"
    return f"{text}."


def _late(session: Session) -> str:
    late = float(session.lateness[-1])
    return f"{duration(abs(late))} {'late' if late >= 0 else 'early'}"


def _verdicts(sessions: Mapping[str, Session]) -> Iterator[str]:
    """A badge for each session, and why it is not valid and what to do."""
    for name, session in sessions.items():
        found = validity(session)
        badge = "\N{CHECK MARK} valid" if found else "\N{BALLOT X} not valid"
        reasons = "".join(
            f"<li>{html.escape(problem.found)}. {html.escape(in_panel_words(problem.fix))}</li>"
            for problem in found.problems
        )
        yield (
            f'<div class="rt-verdict"><span class="rt-badge {"rt-good" if found else "rt-bad"}">'
            f"{badge}</span> <b>{html.escape(said(name))}</b>"
            f"{f'<ul>{reasons}</ul>' if reasons else ''}</div>"
        )


def tables(sessions: Mapping[str, Session]) -> str:
    """The metrics of each session; of those that were repeated, medians with intervals first."""
    by_name = {said(name): session for name, session in sessions.items()}
    remarks = [in_panel_words(str(one)) for one in notes(by_name) if one.kind != "not valid"]
    each = replace(summarize(by_name), notes=tuple(remarks))._repr_html_()
    found = intervals(sessions)
    if found is None:
        return each
    return f"{found._repr_html_()}<details><summary>Each session</summary>{each}</details>"


def intervals(sessions: Mapping[str, Session]) -> Table | None:
    """Medians and p95 with 95% intervals, one row per pacing and chunk; None without repeats."""
    rows = []
    repeated = False
    for of in ("turn_latency", "word_latency", "lateness"):
        for group, one in pool(sessions, of, BY).items():
            repeated |= len(one.sessions) > 1
            if len(one.values):
                median, high = one.intervals((0.5, 0.95))
                cells = (_interval(median), _interval(high), str(len(one.sessions)), median.note)
                rows.append((f"{of.replace('_', ' ')}, {said(group)}", cells, ""))
    columns = ("median (95% interval)", "p95 (95% interval)", "sessions", "")
    return Table(columns, tuple(rows)) if repeated else None


def _interval(one: Interval) -> str:
    bounds = ["?" if math.isinf(end) else duration(end) for end in (one.low, one.high)]
    known = " to ".join(bounds) if {*bounds} - {"?", "–"} else "no bounds"
    return f"{duration(one.value)} ({known})"


def draw(sessions: Mapping[str, Session]) -> str:
    """The figures of a comparison, each an image, under what was streamed to whom.

    Many sessions are drawn by pacing and chunk. Turns of different recordings do not stand side by
    side: each recording, and each stretch of one, has a figure of its own.
    """
    from matplotlib.figure import Figure

    from rtkit.views.distributions import plot_distribution
    from rtkit.views.figure import image
    from rtkit.views.plots import ALTS, COMPARED, described
    from rtkit.views.services import plot_services

    def share(of: str, by: str | tuple[str, ...] = "name") -> Figures:
        alt = f"which share took no longer than so many milliseconds: {of.replace('_', ' ')}"
        return [(partial(plot_distribution, of=of, by=by), alt, sessions)]

    services: Figures = []
    lateness, _, turns, _ = COMPARED
    of_lateness, _, of_turns, _ = ALTS
    if len(sessions) > FEW:
        figures = share("lateness", BY) + share("turn_latency", BY) + share("word_latency", BY)
    else:
        parts = _by_recording(sessions).values()
        if len(parts) == 1 and len(set(map(service_of, sessions.values()))) > 1:
            alt = "each service a dot: median turn latency against word error rate"
            services = [(plot_services, alt, sessions)]
        figures = [(lateness, of_lateness, sessions), *share("lateness")]
        figures += [(turns, of_turns, part) for part in parts]
        figures += share("word_latency") + services
    images = []
    for plot, alt, part in figures:
        figure = Figure(figsize=(5.4, 3.9 + 0.2 * min(FEW, len(part))), layout="constrained")
        plot(part, ax=figure.subplots())
        whose = "" if part is sessions else f"of {', '.join(map(said, part))}"
        caption = f"<figcaption>{html.escape(whose)}</figcaption>" if whose else ""
        images.append(f"<figure>{image(figure, alt=f'{alt} {whose}')}{caption}</figure>")
    lines = "".join(f"<div>{html.escape(line)}</div>" for line in described(sessions))
    return f'{lines}<div class="rt-figures">{"".join(images)}</div>'


def _by_recording(sessions: Mapping[str, Session]) -> Mapping[object, Mapping[str, Session]]:
    parts: dict[object, dict[str, Session]] = {}
    for name, session in sessions.items():
        asked = session.settings
        what = (asked.recording, asked.start, round(asked.seconds, 3), asked.channel)
        parts.setdefault(what, {})[name] = session
    return parts if len(parts) > 1 else {None: sessions}
