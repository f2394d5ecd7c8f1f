"""The interactive timeline as a widget, to stand among others; the browser draws it."""

from __future__ import annotations

from typing import ClassVar

import anywidget
import traitlets

from rtkit.markup import asset
from rtkit.views.interactive import Timeline

__all__ = ["TimelineWidget"]


class TimelineWidget(anywidget.AnyWidget):
    """What `rtkit.timeline` or `rtkit.play` made, for a layout of ipywidgets.

    Attributes
    ----------
    data : dict
        What is shown, `Timeline.data`: sent once. Another one takes its place. Empty, it shows
        nothing.
    """

    _esm: ClassVar[str] = asset("views/interactive.js")
    _css: ClassVar[str] = asset("views/interactive.css")
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, timeline: Timeline | None = None) -> None:
        super().__init__(data={} if timeline is None else dict(timeline.data))
