"""The interactive timeline as a widget; the browser draws it."""

from __future__ import annotations

from typing import ClassVar

import anywidget
import traitlets

from rtkit.markup import asset
from rtkit.views.interactive import Timeline

__all__ = ["TimelineWidget"]


class TimelineWidget(anywidget.AnyWidget):
    """A timeline from `rtkit.timeline` or `rtkit.play`, as a widget for layouts of ipywidgets.

    Attributes
    ----------
    data : dict
        What is shown (`Timeline.data`). Assign other data to replace it, or an empty dict to show
        nothing.
    """

    _esm: ClassVar[str] = asset("views/interactive.js") + asset("widgets/timeline.js")
    _css: ClassVar[str] = asset("views/interactive.css")
    data = traitlets.Dict().tag(sync=True)

    def __init__(self, timeline: Timeline | None = None) -> None:
        super().__init__(data={} if timeline is None else dict(timeline.data))
