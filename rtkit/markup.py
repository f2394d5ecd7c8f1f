"""What notebooks and pages show of tables and of words, in HTML.

Words are tinted over the theme's own colors, so that text stays legible. No mark is told by color
alone: what was struck is struck, what was added is underlined.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, TypeVar

from rtkit.boundary.text import unknown

__all__ = ["SMALL", "Table", "asset", "box", "marked", "tinted"]

SMALL = "font-size: 0.9em; opacity: 0.85"
BOX = (
    "color: var(--jp-ui-font-color1, inherit); line-height: 1.7; max-width: 60em; "
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 14px)"
)
# No heading breaks inside a word, whatever the page around it does.
CELL = "vertical-align: top; padding: 2px 12px; overflow-wrap: normal; word-break: normal"
# Elements that browsers, and screen readers, know: in no session's color and in no part's.
MARKS = {"struck": "<s>{}</s>", "instead": "<mark>{}</mark>", "added": "<mark><ins>{}</ins></mark>"}


def asset(name: str) -> str:
    """A style, script or page of the package, by its path in it."""
    return files("rtkit").joinpath(name).read_text(encoding="utf-8")


def box(inside: str) -> str:
    return f'<div style="{BOX}">{inside}</div>'


def tinted(style: str, text: str, *, title: str = "") -> str:
    """Text in a style; what it holds of HTML is shown, and never becomes part of the page."""
    said = f' title="{html.escape(title)}"' if title else ""
    return (
        f'<span style="{style}; border-radius: 3px; padding: 1px 3px"{said}>'
        f"{html.escape(text)}</span>"
    )


def marked(how: str, text: str) -> str:
    """Text that is struck, or stands instead of another, or was added."""
    return MARKS[how].format(html.escape(text)) if text else ""


T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """Numbers and texts in rows; prints as text, and as HTML in a notebook.

    Attributes
    ----------
    columns : tuple of str
        What stands above each column but the first, which `corner` heads.
    rows : tuple of (str, tuple of float or str, str)
        A name, its cells, and the format of those that are numbers; NaN is a dash. A single cell
        speaks for all columns.
    notes : tuple of str
        What stands below.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float | str, ...], str], ...]
    notes: tuple[str, ...] = ()
    corner: str = ""

    def cells(self) -> list[list[str]]:
        """The table as text, the heading first."""
        return [
            [self.corner, *self.columns],
            *[[name, *[_cell(cell, form) for cell in cells]] for name, cells, form in self.rows],
        ]

    def __getitem__(self, row: str) -> dict[str, Any]:
        """A row's values by column, in the row's unit."""
        for name, cells, _ in self.rows:
            if name == row:
                return dict(zip(self.columns, self._spread(cells), strict=True))
        raise KeyError(unknown("row", row, [name for name, _, _ in self.rows]))

    def __str__(self) -> str:
        rows = [[name, *self._spread(cells)] for name, *cells in self.cells()]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        heading, *lines = [
            "  ".join(
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, self._to_the_right(), strict=True)
            )
            for row in rows
        ]
        return "\n".join([heading, "-" * len(heading), *lines, *self.notes])

    def _repr_html_(self) -> str:
        heading, *rows = self.cells()
        body = "".join(self._row("td", cells) for cells in rows)
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<div><table><thead>{self._row('th', heading)}</thead>"
            f"<tbody>{body}</tbody></table>{notes}</div>"
        )

    def _row(self, tag: str, cells: Sequence[str]) -> str:
        span = f' colspan="{len(self.columns)}"' if len(cells) == 2 else ""
        written = []
        for i, (cell, right) in enumerate(zip(cells, self._to_the_right(), strict=False)):
            style = f'style="text-align: {"right" if right else "left"}; {CELL}"'
            written.append(f"<{tag}{span * (i > 0)} {style}>{html.escape(cell)}</{tag}>")
        return f"<tr>{''.join(written)}</tr>"

    def _spread(self, cells: Sequence[T]) -> Sequence[T]:
        return [*cells] * len(self.columns) if len(cells) == 1 else cells

    def _to_the_right(self) -> list[bool]:
        """Where each column stands: numbers on the right, whatever has a text on the left."""
        rows = [self._spread(cells) for _, cells, _ in self.rows]
        columns = zip(*rows, strict=True) if rows else [()] * len(self.columns)
        return [False, *[not any(isinstance(cell, str) for cell in one) for one in columns]]


def _cell(value: float | str, form: str) -> str:
    if isinstance(value, str):
        return value
    if math.isnan(value):
        return "–"
    text = f"{round(value):d}" if form == "d" else f"{value:{form}}"
    return text.removeprefix("-") if float(text) == 0 else text
