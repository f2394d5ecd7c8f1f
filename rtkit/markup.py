"""Marks on words in a notebook: tints over the theme's own colors, so that text stays legible.

No mark is told by color alone: what was struck is struck, what was added is underlined.
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass

__all__ = ["SMALL", "box", "marked", "tinted"]

SMALL = "font-size: 0.9em; opacity: 0.85"
BOX = (
    "color: var(--jp-ui-font-color1, inherit); line-height: 1.7; max-width: 60em; "
    "font-family: var(--jp-ui-font-family, sans-serif); font-size: var(--jp-ui-font-size1, 14px)"
)
STYLES = {
    "struck": "background: rgba(213, 94, 0, 0.35); text-decoration: line-through",
    "instead": "background: rgba(0, 158, 115, 0.35)",
    "added": "background: rgba(0, 114, 178, 0.35); text-decoration: underline",
}


def box(inside: str) -> str:
    return f'<div style="{BOX}">{inside}</div>'


def tinted(style: str, text: str, *, title: str = "") -> str:
    """Text in a style; what it holds of HTML is shown, and never becomes part of the page."""
    said = f' title="{html.escape(title)}"' if title else ""
    return (
        f'<span style="{style}; border-radius: 3px; padding: 1px 3px"{said}>'
        f"{html.escape(text)}</span>"
    )


def marked(style: str, text: str) -> str:
    return tinted(STYLES[style], text) if text else ""


@dataclass(frozen=True)
class Table:
    """Figures of sessions side by side; prints as text, and as HTML in a notebook."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[float, ...], str], ...]  # name, a value a column, format
    notes: tuple[str, ...] = ()

    def cells(self) -> list[list[str]]:
        """The table as text, the heading first."""
        return [
            ["", *self.columns],
            *[
                [name, *[_cell(value, form) for value in values]]
                for name, values, form in self.rows
            ],
        ]

    def __getitem__(self, row: str) -> dict[str, float]:
        """A row's values by column, in the row's unit."""
        for name, values, _ in self.rows:
            if name == row:
                return dict(zip(self.columns, values, strict=True))
        raise KeyError(f"no row {row!r}; the rows are {[name for name, _, _ in self.rows]}")

    def __str__(self) -> str:
        cells = self.cells()
        widths = [max(len(row[i]) for row in cells) for i in range(len(cells[0]))]
        lines = []
        for row in cells:
            figures = zip(row[1:], widths[1:], strict=True)
            lines.append(
                "  ".join(
                    [row[0].ljust(widths[0]), *[cell.rjust(width) for cell, width in figures]]
                )
            )
        lines.insert(1, "-" * len(lines[0]))
        return "\n".join([*lines, *self.notes])

    def _repr_html_(self) -> str:
        heading, *rows = self.cells()
        right = 'style="text-align: right; padding: 2px 12px"'
        left = 'style="text-align: left; padding: 2px 12px"'
        head = "".join(f"<th {right}>{html.escape(cell)}</th>" for cell in heading)
        body = "".join(
            f"<tr><td {left}>{html.escape(name)}</td>"
            + "".join(f"<td {right}>{html.escape(cell)}</td>" for cell in cells)
            + "</tr>"
            for name, *cells in rows
        )
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return (
            f"<div><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{notes}</div>"
        )


def _cell(value: float, form: str) -> str:
    if math.isnan(value):
        return "–"
    text = f"{round(value):d}" if form == "d" else f"{value:{form}}"
    return text.removeprefix("-") if float(text) == 0 else text
