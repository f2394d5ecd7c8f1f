"""The interactive timeline as a widget, to stand among others; the browser draws it."""

from __future__ import annotations

from typing import ClassVar

import anywidget
import traitlets

from rtkit.audio import Clip
from rtkit.markup import asset
from rtkit.session import Session
from rtkit.views.interactive import Timeline

__all__ = ["TimelineWidget", "is_of"]


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


def is_of(clip: Clip, session: Session) -> bool:
    """Whether something of the clip was streamed in the session."""
    settings = session.settings
    return (
        (settings.recording, settings.rate) == (clip.name, clip.rate)
        and settings.first < clip.first + clip.samples
        and clip.first < settings.first + settings.samples
    )
