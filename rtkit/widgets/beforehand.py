"""What is about to be streamed: its duration, its level, its cost."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import ipywidgets

from rtkit.analysis.checks.mistakes import diagnose
from rtkit.analysis.timing.attribution import SLOWEST
from rtkit.audio import Clip
from rtkit.audio.levels import decibels
from rtkit.boundary.text import counted
from rtkit.services.service import Vendor
from rtkit.views.units import minus
from rtkit.widgets.choices import Choices
from rtkit.widgets.sending_box import Planned, SendingBox
from rtkit.widgets.wording import in_panel_words

__all__ = ["Beforehand"]

GREETING = 3.0  # seconds that a session is open before and after its audio, about


class Beforehand:
    """Two lines: `chosen` says what will be streamed, `unusual` which fields are not as usual."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        choices: Choices,
        more: Sequence[str],
        *,
        clip: Callable[[], Clip],
        sending: SendingBox,
    ) -> None:
        self._loop, self._choices, self._more = loop, choices, more
        self._clip, self._sending = clip, sending
        self._looking: asyncio.Future[Any] | None = None
        self._due = self._halted = False
        self.chosen, self.unusual = ipywidgets.HTML(), ipywidgets.HTML()
        self.chosen.add_class("rt-chosen")
        self.unusual.add_class("rt-unusual")
        choices.on_change(self.look)

    def look(self) -> None:
        """Say what is chosen, once: fields that change together make one look."""
        if not self._due:
            self._due = True
            self._loop.call_soon_threadsafe(self._look)

    async def halt(self) -> None:
        """Read nothing until `resume`: it would make a sender late."""
        self._halted = True
        if self._looking is not None:
            await asyncio.wait({self._looking})

    def resume(self) -> None:
        self._halted = False
        self.look()

    def _look(self) -> None:
        self._due = False
        unlike = self._choices.unusual(self._more)
        told = f"not as usual: {', '.join(unlike)}" if unlike else "all as usual"
        self.unusual.value = f"<span>{html.escape(told)}</span>"
        if self._halted:
            return
        try:
            clip, planned = self._clip(), self._sending.planned()
            work = self._sending.work.number() / 1000
        except (ValueError, OSError):  # is said beside its field, or by Run
            self.chosen.value = ""
            return
        vendors = self._sending.listeners.vendors
        # Its level is in the whole of it: a thread reads it.
        self._looking = self._loop.run_in_executor(
            None, lambda: described(clip, planned, vendors=vendors, work=work)
        )
        self._looking.add_done_callback(self._looked)

    def _looked(self, looking: asyncio.Future[Any]) -> None:
        if looking is not self._looking or looking.cancelled():
            return  # something else was chosen meanwhile
        if looking.exception() is not None:  # Run says it
            self.chosen.value = ""
            return
        line, found = looking.result()
        against = "".join(f'<div class="rt-caution">{html.escape(one)}</div>' for one in found)
        self.chosen.value = f"<div>{html.escape(line)}</div>{against}"


def described(
    clip: Clip, planned: Iterable[Planned], *, vendors: Sequence[type[Vendor]], work: float
) -> tuple[str, tuple[str, ...]]:
    """What is to be streamed, in a line, and what speaks against it; reads the clip once."""
    whole = clip.total / clip.rate if clip.total else clip.seconds
    length = f"{clip.seconds:.1f} s" + f" of {whole:.1f} s" * (whole - clip.seconds > 0.05)
    channels = "one channel" if clip.channels == 1 else f"{clip.channels} channels, averaged"
    if clip.channel is not None:
        channels = f"channel {clip.channel + 1} of {clip.channels}"
    reference = "no reference: word ends are the service's own"
    if clip.reference is not None:
        reference = f"a reference of {counted(len(clip.reference.words), 'word')}"
    level = ""
    if levels := clip.levels():
        level = minus(f", level {decibels(levels[0].loud):.0f} dBFS")
    sessions = [*planned]
    listening = len({one.service for one in sessions})
    took = sum(GREETING + _lasting(clip.seconds, one, work) for one in sessions) / listening
    count = counted(len(sessions), "session")
    if listening > 1:
        each = "" if len(sessions) == listening else f", {listening}"
        count += f"{each} at the same time by the wall clock, without extra work"
    cost = f"{count}, about {took:.0f} s"
    if vendors:
        whose = " and ".join(vendor.NAME for vendor in vendors)
        bill = "bills" if len(vendors) == 1 else "each bill"
        cost += f", which {whose} {bill} as {took / 60:.1f} minutes of session time"
    line = f"{clip.name}: {length} at {clip.rate} Hz, {channels}{level}, {reference}. {cost}."
    found = [f"{one.name}: {one.evidence}. {in_panel_words(one.fix)}" for one in diagnose(clip)]
    return line, tuple(found)


def _lasting(seconds: float, one: Planned, work: float) -> float:
    """A naive sender takes its work on top of each chunk; an unpaced one waits for the service."""
    if one.pacing == "unpaced":
        return seconds / SLOWEST
    return seconds * (1 + (work * 1000 / one.chunk if one.pacing == "fixed_sleep" else 0.0))
