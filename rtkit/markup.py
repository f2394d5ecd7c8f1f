"""Marks on words in a notebook: tints over the theme's own colours, so that text stays legible.

No mark is told by colour alone: what was struck is struck, what was added is underlined.
"""

from __future__ import annotations

import html

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
