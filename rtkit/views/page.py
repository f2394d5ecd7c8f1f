"""A self-contained HTML page, including its figures."""

from __future__ import annotations

import base64
import hashlib
import html
import io
from collections.abc import Callable, Mapping, Sequence

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure

from rtkit.markup import Table, asset

__all__ = ["page", "picture", "wide"]


def page(
    title: str, *, lede: str, sections: Mapping[str, str], made: str, scripts: Sequence[str] = ()
) -> str:
    """A page that needs nothing but itself, and runs nothing but `scripts`.

    Parameters
    ----------
    title, made : str
        Text: the heading, and what stands at the very end.
    lede : str
        HTML: what to know before anything else.
    sections : mapping of str to str
        HTML by heading; a section that holds nothing is left out, and so is an empty heading.
    scripts : sequence of str
        What may run, wherever it stands in the page; a browser refuses all else.
    """
    hashes = [base64.b64encode(hashlib.sha256(one.encode()).digest()).decode() for one in scripts]
    return asset("views/page.html").format(
        title=html.escape(title),
        style=asset("views/page.css"),
        scripts=" ".join(f"'sha256-{one}'" for one in hashes) or "'none'",
        lede=lede,
        sections="".join(
            f"<section>\n{heading and f'<h2>{html.escape(heading)}</h2>'}\n{inside}\n</section>\n"
            for heading, inside in sections.items()
            if inside
        ),
        made=html.escape(made),
    )


def picture(draw: Callable[[Figure], object], *, height: float, name: str, meaning: str) -> str:
    """A figure as an image within the page: as such no name in it can become part of the page.

    Parameters
    ----------
    draw : callable
        Draws on the figure that it is given.
    height : float
        Of the figure, in inches; it is 9.6 wide.
    name : str
        The same drawing under the same name makes the same image.
    meaning : str
        How to read it: stands below.
    """
    drawn = io.BytesIO()
    with matplotlib.style.context("default"):  # whatever the notebook's is
        matplotlib.rcParams["svg.hashsalt"] = name
        figure = Figure(figsize=(9.6, height), layout="constrained")
        draw(figure)
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    said = html.escape(meaning)
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{said}">'
        f"<figcaption>{said}</figcaption></figure>"
    )


def wide(table: Table) -> str:
    """A table that scrolls by itself where the screen is narrower."""
    return f'<div class="wide">{table._repr_html_()}</div>'
