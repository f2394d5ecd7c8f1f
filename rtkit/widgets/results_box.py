"""The panel's box for what was measured: figures, the table, and where it is kept."""

from __future__ import annotations

import asyncio
import base64
import html
import io
from collections.abc import Mapping
from pathlib import Path

import ipywidgets

from rtkit.analysis.latency import senders_share, turn_latency
from rtkit.analysis.naming import said
from rtkit.analysis.summary import summarize
from rtkit.markup import asset
from rtkit.session import Session

__all__ = ["ResultsBox", "headline"]

SEEN = (
    "Lateness of each chunk, its distribution, turn latency in its parts, and a timeline; "
    "the table that follows holds the figures"
)


class ResultsBox(ipywidgets.VBox):  # type: ignore[misc]
    """Figures, the table, and the files of the sessions that were saved."""

    def __init__(self) -> None:
        self.figure = ipywidgets.HTML(layout={"display": "none"})
        self.table = ipywidgets.HTML()
        self.saved = ipywidgets.HTML()
        for name in ("figure", "table", "saved"):
            getattr(self, name).add_class(f"rt-{name}")
        style = ipywidgets.HTML("<style>" + asset("widgets/panel.css") + "</style>")
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
        content = base64.b64encode(await asyncio.to_thread(draw, sessions)).decode()
        self.figure.value = f'<img alt="{SEEN}" src="data:image/png;base64,{content}">'
        self.figure.layout.display = "block"


def headline(sessions: Mapping[str, Session], *, stopped: bool) -> str:
    """How late each session ended, and how much of the measured latency was the sender's own."""
    sent = {name: session for name, session in sessions.items() if session.chunks}
    if not sent:
        return "Stopped before anything was sent."
    ends = ", ".join(f"{said(name)} ended {_late(one)}" for name, one in sent.items())
    text = f"{'Stopped; what was recorded is kept:' if stopped else 'Done:'} {ends}"
    shares = {name: senders_share(turn_latency(session)) for name, session in sent.items()}
    measured = {name: share for name, share in shares.items() if share >= 0}  # or it is nan
    if measured and "unpaced" not in sent:
        name = max(measured, key=measured.__getitem__)
        text += f"; of {said(name)}'s turn latency the sender made {measured[name]:.0%} itself"
    return f"{text}."


def _late(session: Session) -> str:
    late = session.lateness[-1] * 1000
    return f"{abs(late):.{0 if abs(late) >= 10 else 1}f} ms {'late' if late >= 0 else 'early'}"


def draw(sessions: Mapping[str, Session]) -> bytes:
    from rtkit.views.plots import plot_comparison

    file = io.BytesIO()
    plot_comparison(sessions).savefig(file, format="png", dpi=110)
    return file.getvalue()
