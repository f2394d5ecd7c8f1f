"""The panel's fields for sending: chunks, pacing, and services."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import ipywidgets

from rtkit.audio import Clip
from rtkit.experiments.calibrate import Calibration
from rtkit.widgets.fields import FieldError, NumberField, dropdown, mark
from rtkit.widgets.listeners_box import ListenersBox

__all__ = ["Planned", "SendingBox"]

COMPARISON = ("fixed_sleep", "wall_clock")
MOST = 20  # repeats


@dataclass(frozen=True, slots=True)
class Planned:
    """One of the sessions to run: under which name, and how. Chunks in milliseconds.

    Those that differ in nothing but the service run at the same time.
    """

    name: str
    pacing: str
    chunk: float
    repeat: int
    service: str = ""  # where several listen

    def file_name(self, clip: Clip, at: datetime) -> str:
        how = f"{clip.stem}_{self.chunk:g}ms_{self.pacing}"
        whom = f"_{self.service.replace(' ', '-')}" if self.service else ""
        again = f"-{self.repeat}" if self.repeat > 1 else ""
        return f"{at:%Y-%m-%d_%H-%M-%S}_{how}{whom}{again}.jsonl"


class SendingBox:
    """`chunk`, `presets` and `pacing` come first, and `more` holds the others."""

    def __init__(self) -> None:
        self.chunk = NumberField(
            100,
            low=50,
            high=1000,
            unit="ms",
            description="chunk (ms)",
            css="chunk",
            tooltip="How much audio goes into a message: 50 to 1000 ms",
        )
        self.presets = ipywidgets.RadioButtons(
            options=[("50", 50), ("100", 100), ("200", 200)], value=100
        )
        pacings = [
            ("compare naive with wall clock", "compare"),
            ("wall clock", "wall_clock"),
            ("naive (fixed sleep)", "fixed_sleep"),
            ("unpaced", "unpaced"),
        ]
        why = "How the sender waits between two chunks"
        self.pacing = dropdown("pacing", "pacing", pacings, why)
        self.work = NumberField(
            5,
            high=1000,
            unit="ms",
            description="extra work per chunk (ms)",
            css="work",
            tooltip="What the sender does after each chunk, besides sending",
        )
        self.stall = NumberField(
            0,
            high=10000,
            unit="ms",
            description="stall (ms)",
            tooltip="Block the loop once, for so long, to see each pacing recover or not",
        )
        self.stall_at = NumberField(
            5,
            unit="s",
            description="stall at (s)",
            tooltip="When the stall comes, in seconds after the start",
        )
        self.repeats = NumberField(
            1,
            low=1,
            high=MOST,
            whole=True,
            description="repeats",
            css="repeats",
            tooltip="How often each session is run; from two on, medians have intervals",
        )
        chunks = [
            ("no other chunks", ()),
            ("chunks of 50, 100, 200 ms", (50, 100, 200)),
            ("chunks of 50, 100, 200, 500, 1000 ms", (50, 100, 200, 500, 1000)),
        ]
        why = "Run each pacing with several chunk durations, in place of the one above"
        self.sweep = dropdown("sweep", "sweep", chunks, why)
        senders = [
            ("in the notebook's loop", "loop"),
            ("in a thread of its own", "thread"),
            ("in a process of its own", "process"),
        ]
        why = "Where the sender runs: further away, a busy notebook disturbs it less"
        self.isolation = dropdown("isolation", "sender", senders, why)
        self.listeners = ListenersBox()
        self.presets.observe(self._preset_chosen, "value")
        self.chunk.on_change(self._chunk_chosen)
        for field in (self.listeners.service, self.listeners.also):
            field.observe(lambda _: self._service_chosen(), "value")
        self.chunk.children = [
            ipywidgets.HBox([self.chunk.text, self.presets], layout={"align_items": "flex-end"}),
            self.chunk.note,
        ]
        self.chunk.text.layout.flex = "1 1 5em"
        self.more = (
            *self.listeners.more,
            self.isolation,
            self.work,
            self.stall,
            self.stall_at,
            self.repeats,
            self.sweep,
        )
        self.presets.add_class("rt-presets")
        self._service_chosen()

    @property
    def several(self) -> bool:
        """Whether several services listen at the same time, which goes by the wall clock alone."""
        return len(self.listeners.chosen) > 1

    def options(self, calibration: Calibration | None) -> dict[str, Any]:
        """What `rtkit.stream` is to be told of each session, or all `services` by name.

        Read once: all sessions of a comparison are to have the same.

        Raises
        ------
        ValueError
            If a number cannot be used, or a key is needed and there is none.
        """
        services = self.listeners.services()
        if self.several:
            return {"services": services, "calibration": calibration}
        (service,) = services.values()
        stall = self.stall.number() / 1000
        return {
            "work": self.work.number() / 1000,
            "blocks": [(self.stall_at.number(), stall)] if stall else [],
            "isolation": self.isolation.value,
            "service": service,
            "calibration": calibration,
        }

    def planned(self) -> tuple[Planned, ...]:
        """The sessions to run, in order: repeats last, so that what changes falls on all alike."""
        pacings = COMPARISON if self.pacing.value == "compare" else (self.pacing.value,)
        of_each = [(pacing, pacing, "") for pacing in pacings]
        if self.several:
            of_each = [(name, "wall_clock", name) for name in self.listeners.chosen.values()]
        chunks = self.sweep.value or (self.chunk.number(),)
        low, high = self.chunk.low, self.chunk.high
        taken = low <= min(chunks) and max(chunks) <= high
        mark(self.sweep, refused=not taken and bool(self.sweep.value))
        if not taken:
            bounds = f"{low:g} to {high:g} ms"
            raise FieldError(f"sweep: the service takes chunks of {bounds}. Choose another sweep.")

        def each() -> Iterator[Planned]:
            for repeat in range(1, round(self.repeats.number()) + 1):
                for chunk in chunks:
                    for name, pacing, service in of_each:
                        name += f", {chunk:g} ms" * (len(chunks) > 1)
                        name += f" ({repeat})" * (repeat > 1)
                        yield Planned(name, pacing, chunk, repeat, service)

        return tuple(each())

    def _preset_chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None and self.chunk.value != change["new"]:
            self.chunk.value = change["new"]

    def _chunk_chosen(self) -> None:
        offered = [value for _, value in self.presets.options]
        self.presets.value = self.chunk.value if self.chunk.value in offered else None

    def _service_chosen(self) -> None:
        """Take the chunks that all services take; what sessions at once have not, is dimmed."""
        limits = self.listeners.limits()
        self.chunk.low = 1000 * (limits.min_chunk or 0.001)
        self.chunk.high = 1000 * (limits.max_chunk or 10)
        self.chunk.check()
        alone = (self.pacing, self.isolation, self.work.text, self.stall.text, self.stall_at.text)
        for field in alone:
            field.disabled = self.several
