"""The panel's fields for services: one, others at the same time, and their API keys."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import ipywidgets

from rtkit.audio import Clip
from rtkit.boundary.secrets import Confidential
from rtkit.loopback.process import Loopback, embedded
from rtkit.services.service import Limits, Service, Vendor, dialect_of, vendors
from rtkit.widgets.fields import FieldError, Toggles, dropdown, mark, stacked

__all__ = ["ListenersBox"]

EMBEDDED = {
    "embedded": "embedded (no key, offline)",
    "recognizer": "embedded, with a real recognizer",
}


class ListenersBox:
    """`service` listens, with `key`; those in `also` at the same time, each with a key below."""

    def __init__(self) -> None:
        names = {dialect: vendor.NAME for dialect, vendor in vendors().items()}
        self._names = {**{engine: engine for engine in EMBEDDED}, **names}
        keys: dict[str, str] = {}  # by the service that they were typed for
        offered = [(label, name) for name, label in ({**EMBEDDED, **names}).items()]
        self.service = dropdown("service", "service", offered, "Who listens")
        self.key = KeyField("API key", keys)
        self.also = Toggles(
            [(name, dialect) for dialect, name in self._names.items()],
            description="at the same time",
            tooltip="Stream the same audio to {} at the same time, by the wall clock",
        )
        self.other_keys = {
            dialect: KeyField(f"API key, {names[dialect]}", keys) for dialect in names
        }
        self.more = (self.service, self.key, self.also, *self.other_keys.values())
        self.service.observe(lambda _: self._chosen(), "value")
        self.also.observe(lambda _: self._chosen(), "value")
        self._chosen()

    @property
    def chosen(self) -> dict[str, str]:
        """The names of all that listen, by their dialects; the service comes first."""
        first = self.service.value
        others = [dialect for dialect in self.also.value if dialect != first]
        return {dialect: self._names[dialect] for dialect in (first, *others)}

    @property
    def vendors(self) -> tuple[type[Vendor], ...]:
        """Those that bill, and whose keys are needed."""
        known = vendors()
        return tuple(known[dialect] for dialect in self.chosen if dialect in known)

    def upstream(self, clip: Clip | None) -> str | Loopback:
        """Where the tap sends clients that come to be watched: they bring a key of their own.

        The embedded service knows the words of `clip`, which they may stream.
        """
        if self.service.value == "recognizer":
            return Loopback(engine="recognizer")
        if self.service.value != "embedded":
            return f"wss://{vendors()[self.service.value]().describe(None)['host']}"
        if clip is None or clip.reference is None:
            return Loopback()
        return Loopback(script=clip.reference, recording=clip.path)

    @property
    def whom(self) -> str:
        """All that listen, in a sentence."""
        told = [name.replace("embedded", "the embedded service") for name in self.chosen.values()]
        return " and ".join(told).replace("recognizer", "the embedded recognizer")

    def spacing(self, rounds: int) -> float:
        """Seconds between the starts of rounds, so that no service refuses one."""
        limits = [one.SESSIONS_PER_MINUTE for one in self.vendors]
        return max((60 / limit for limit in limits if limit and rounds > limit), default=0.0)

    def services(self) -> dict[str, Service | None]:
        """All that listen, by name; raises `FieldError` where a key is needed and there is none."""
        return {name: self._made(dialect) for dialect, name in self.chosen.items()}

    def limits(self) -> Limits:
        """What all of them take."""
        bounds = [
            dialect_of({"dialect": dialect} if dialect in vendors() else {}).limits
            for dialect in self.chosen
        ]
        return Limits(
            min_chunk=max(one.min_chunk or 0.0 for one in bounds) or None,
            max_chunk=min((one.max_chunk for one in bounds if one.max_chunk), default=None),
        )

    def _made(self, dialect: str) -> Service | None:
        if dialect in EMBEDDED:
            return None if dialect == "embedded" else embedded(dialect)
        field = self.key if dialect == self.service.value else self.other_keys[dialect]
        return field.made()

    def _chosen(self) -> None:
        """Ask for the keys of those that are chosen."""
        self.also.hide(self.service.value)
        self.key.ask(self.service.value)
        for dialect, field in self.other_keys.items():
            others = dialect in self.chosen and dialect != self.service.value
            field.ask(dialect if others else "")


class KeyField(ipywidgets.Password):  # type: ignore[misc]
    """Takes a key out of the widget at once: a saved notebook keeps its widgets' values."""

    def __init__(self, description: str, keys: dict[str, str]) -> None:
        super().__init__(
            description=description,
            continuous_update=False,
            tooltip="Stays in memory; it is neither shown nor saved",
        )
        self._keys, self._dialect = keys, ""
        stacked(self).add_class("rt-key")
        self.observe(self._typed, "value")

    def ask(self, dialect: str) -> None:
        """Ask for the key of a service; it is hidden where none is needed."""
        self._dialect, vendor = dialect, vendors().get(dialect)
        mark(self, refused=False)
        self.layout.display = "none" if vendor is None else "flex"
        if vendor is None:
            return
        try:
            vendor(key=self._keys.get(dialect)).find_key()
            self.placeholder = "a key is there; it stays in memory only"
        except ValueError:
            self.placeholder = f"paste a key, or set {vendor.KEY_VARIABLE}"

    def made(self) -> Vendor:
        """The service, with its key."""
        vendor, key = vendors()[self._dialect], self._keys.get(self._dialect)
        if not key and not os.environ.get(vendor.KEY_VARIABLE, "").strip():
            mark(self, refused=True)
            raise FieldError(
                f"{vendor.NAME} needs an API key: paste it into the field {self.description}, or "
                f"set {vendor.KEY_VARIABLE} before Jupyter starts. The embedded service needs none."
            )
        service = vendor(key=key)
        service.find_key()  # raises the same sentence as a session would
        return service

    def _typed(self, change: Mapping[str, Any]) -> None:
        if change["new"]:
            self._keys[self._dialect] = Confidential(change["new"].strip())
            self.value = ""
            self.ask(self._dialect)
