"""The panel's box for what was measured: figures, the table, and where it is kept."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Mapping
from pathlib import Path

import ipywidgets

from rtkit.analysis.latency import senders_share_bounds, turn_latency
from rtkit.analysis.naming import said
from rtkit.analysis.summary import summarize
from rtkit.markup import asset
from rtkit.session import Session
from rtkit.views.units import duration

__all__ = ["ResultsBox", "headline"]


class ResultsBox(ipywidgets.VBox):  # type: ignore[misc]
    """Figures, the table, and the files of the sessions that were saved."""

    def __init__(self) -> None:
        self.figure = ipywidgets.HTML(layout={"display": "none"})
        self.table = ipywidgets.HTML()
        self.saved = ipywidgets.HTML()
        for name in ("figure", "table", "saved"):
            getattr(self, name).add_class(f"rt-{name}")
        looks = asset("widgets/panel.css") + asset("views/figure.css")
        style = ipywidgets.HTML(f"<style>{looks}</style>")
        super().__init__(
            [self.figure, self.table, self.saved, style], layout={"overflow": "visible"}
        )

    def clear(self) -> None:
        self.table.value = self.saved.value = ""
        self.figure.layout.display = "none"

    def add_file(self, path: Path) -> None:
        before = self.saved.value or (
            '<div style="line-height: 1.4"><b>Saved</b>, for <code>rtkit.load_session</code>:</div>'
        )
        self.saved.value = (
            f'{before}<div style="line-height: 1.4"><code>{html.escape(str(path))}</code></div>'
        )

    async def show(self, sessions: Mapping[str, Session]) -> None:
        """Show the table, then figures: they are drawn in a thread."""
        if not sessions:
            self.table.value, self.figure.layout.display = "", "none"
            return
        table = summarize(sessions)._repr_html_()
        self.table.value = f'<div style="line-height: 1.2">{table}</div>'
        self.figure.value = await asyncio.to_thread(draw, sessions)
        self.figure.layout.display = "block"


def headline(sessions: Mapping[str, Session], *, stopped: bool) -> str:
    """How late each session ended, and how much of the measured latency was the sender's own."""
    sent = {name: session for name, session in sessions.items() if session.chunks}
    if not sent:
        return "Stopped before anything was sent."
    ends = ", ".join(f"{said(name)} ended {_late(one)}" for name, one in sent.items())
    text = f"{'Stopped; what was recorded is kept:' if stopped else 'Done:'} {ends}"
    shares = {name: senders_share_bounds(turn_latency(one)) for name, one in sent.items()}
    measured = {name: share for name, share in shares.items() if sum(share) >= 0}  # or it is nan
    if measured and "unpaced" not in sent:
        name = max(measured, key=lambda one: sum(measured[one]))
        low, high = (f"{share:.0%}" for share in measured[name])
        share = low if low == high else f"{low} to {high}"
        text += f"; of {said(name)}'s turn latency the sender made {share} itself"
    return f"{text}."


def _late(session: Session) -> str:
    late = float(session.lateness[-1])
    return f"{duration(abs(late))} {'late' if late >= 0 else 'early'}"


def draw(sessions: Mapping[str, Session]) -> str:
    """The figures of a comparison, each an image, under what was streamed to whom."""
    from matplotlib.figure import Figure

    from rtkit.views.figure import image
    from rtkit.views.plots import ALTS, COMPARED, described

    images = []
    for plot, alt in zip(COMPARED, ALTS, strict=True):
        figure = Figure(figsize=(6.6, 4.2 + 0.2 * len(sessions)), layout="constrained")
        plot(sessions, ax=figure.subplots())
        images.append(image(figure, alt=alt))
    lines = "".join(f"<div>{html.escape(line)}</div>" for line in described(sessions))
    return f'{lines}<div class="rt-figures">{"".join(images)}</div>'
