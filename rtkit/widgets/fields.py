"""How the panel's fields look and stand."""

from __future__ import annotations

import ipywidgets

__all__ = ["BESIDE", "SHORT", "STYLE", "WIDE", "in_a_row"]

STYLE = {"description_width": "7em"}
WIDE = {"width": "calc(100% - 4px)"}  # a widget has 2 px of margin
SHORT = {"width": "14em"}
BESIDE = "2px 2px 2px 7.6em"  # below the fields, not below their names


def in_a_row(*widgets: ipywidgets.Widget) -> ipywidgets.Widget:
    """Side by side where there is room, else one below the other."""
    layout = {"flex_flow": "row wrap", "align_items": "baseline", "overflow": "visible"}
    return ipywidgets.HBox(list(widgets), layout=layout)
