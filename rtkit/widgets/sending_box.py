"""The panel's box for sending: chunks, pacing, and who listens."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import ipywidgets

from rtkit.audio import Clip
from rtkit.boundary.secrets import Confidential
from rtkit.loopback.process import embedded
from rtkit.services.service import Service, Vendor, vendors
from rtkit.widgets.fields import SHORT, STYLE, WIDE, in_a_row

__all__ = ["SendingBox"]

COMPARISON = ("fixed_sleep", "wall_clock")


class SendingBox(ipywidgets.VBox):  # type: ignore[misc]
    """How it is sent, and to whom."""

    def __init__(self) -> None:
        self._keys: dict[str, str] = {}  # by the service that they were typed for
        self.chunk = ipywidgets.BoundedIntText(
            100,
            min=50,
            max=1000,
            step=10,
            description="chunk (ms)",
            style=STYLE,
            layout=SHORT,
            tooltip="How much audio goes into a message: 50 to 1000 ms",
        )
        self.presets = ipywidgets.ToggleButtons(
            options=[("50", 50), ("100", 100), ("200", 200)],
            value=100,
            style={"button_width": "4em"},
            tooltips=[
                "50 ms, closest to a microphone",
                "100 ms, usual",
                "200 ms, fewer messages",
            ],
        )
        self.pacing = ipywidgets.Dropdown(
            description="pacing",
            options=[
                ("compare naive with wall clock", "compare"),
                ("wall clock", "wall_clock"),
                ("naive (fixed sleep)", "fixed_sleep"),
                ("unpaced", "unpaced"),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="How the sender waits between two chunks",
        )
        self.work = ipywidgets.BoundedFloatText(
            5,
            min=0,
            max=1000,
            step=1,
            description="extra work per chunk (ms)",
            style={"description_width": "initial"},
            layout=WIDE,
            tooltip="What the sender does after each chunk, besides sending",
        )
        self.stall = ipywidgets.BoundedFloatText(
            0,
            min=0,
            max=10000,
            step=100,
            description="stall (ms)",
            style=STYLE,
            layout=SHORT,
            tooltip="Block the loop once, for so long, to see each pacing recover or not",
        )
        self.stall_at = ipywidgets.BoundedFloatText(
            5,
            min=0,
            max=1e6,
            step=1,
            description="at (s)",
            style=STYLE,
            layout=SHORT,
            tooltip="When the stall comes, in seconds after the start",
        )
        self.isolation = ipywidgets.Dropdown(
            description="sender",
            options=[
                ("in the notebook's loop", "loop"),
                ("in a thread of its own", "thread"),
                ("in a process of its own", "process"),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="Where the sender runs: further away, a busy notebook disturbs it less",
        )
        self.service = ipywidgets.Dropdown(
            description="service",
            options=[
                ("embedded (no key, offline)", "embedded"),
                ("embedded, with a real recognizer", "recognizer"),
                *((vendor.NAME, dialect) for dialect, vendor in vendors().items()),
            ],
            style=STYLE,
            layout=WIDE,
            tooltip="Who listens",
        )
        self.key = ipywidgets.Password(
            description="API key",
            continuous_update=False,
            style=STYLE,
            layout=WIDE,
            tooltip="Stays in memory; it is neither shown nor saved",
        )
        self.presets.observe(self._preset_chosen, "value")
        self.chunk.observe(self._chunk_chosen, "value")
        self.service.observe(lambda _: self._show_key(), "value")
        self.key.observe(self._key_typed, "value")
        rows = [
            self.pacing,
            in_a_row(self.chunk, self.presets),
            self.work,
            in_a_row(self.stall, self.stall_at),
            self.isolation,
            self.service,
            self.key,
        ]
        super().__init__(rows, layout={"overflow": "visible"})
        self.pacing.add_class("rt-pacing")
        self.chunk.add_class("rt-chunk")
        self._show_key()

    @property
    def pacings(self) -> tuple[str, ...]:
        return COMPARISON if self.pacing.value == "compare" else (self.pacing.value,)

    def options(self) -> dict[str, Any]:
        """What `rtkit.stream` is to be told; raises ValueError where a key is needed and none is.

        Read once: both sessions of a comparison are to have the same.
        """
        return {
            "chunk": self.chunk.value / 1000,
            "work": self.work.value / 1000,
            "blocks": [(self.stall_at.value, self.stall.value / 1000)] if self.stall.value else [],
            "isolation": self.isolation.value,
            "service": self._find_service(),
        }

    def file_name(self, clip: Clip, pacing: str, at: datetime) -> str:
        return f"{at:%Y-%m-%d_%H-%M-%S}_{clip.stem}_{self.chunk.value}ms_{pacing}.jsonl"

    @property
    def _vendor(self) -> type[Vendor] | None:
        """Whose key is needed; None for the embedded services."""
        return vendors().get(self.service.value)

    def _find_service(self) -> Service | None:
        if (vendor := self._vendor) is not None:
            service = vendor(key=self._keys.get(self.service.value))
            service.find_key()  # raises the same sentence as a session would
            return service
        return embedded("recognizer") if self.service.value == "recognizer" else None

    def _preset_chosen(self, change: Mapping[str, Any]) -> None:
        if change["new"] is not None:
            self.chunk.value = change["new"]

    def _chunk_chosen(self, change: Mapping[str, Any]) -> None:
        offered = [value for _, value in self.presets.options]
        self.presets.value = change["new"] if change["new"] in offered else None

    def _show_key(self) -> None:
        self.key.layout.display = "none" if self._vendor is None else "flex"
        if (vendor := self._vendor) is None:
            return
        try:
            vendor(key=self._keys.get(self.service.value)).find_key()
            self.key.placeholder = "a key is there; it stays in memory only"
        except ValueError:
            self.key.placeholder = f"paste a key, or set {vendor.KEY_VARIABLE}"

    def _key_typed(self, change: Mapping[str, Any]) -> None:
        """Take the key out of the widget at once: a saved notebook keeps its widgets' values."""
        if change["new"]:
            self._keys[self.service.value] = Confidential(change["new"].strip())
            self.key.value = ""
            self._show_key()
