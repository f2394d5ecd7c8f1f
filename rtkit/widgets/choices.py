"""The panel's choices: which differ from the defaults, and which are remembered."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import ipywidgets

from rtkit.boundary.files import replacing
from rtkit.widgets.fields import NumberField

__all__ = ["Choices", "Memory"]


class Choices:
    """The panel's fields by name; what they hold now is the usual."""

    def __init__(self, fields: Mapping[str, ipywidgets.Widget]) -> None:
        self._fields = dict(fields)
        self._usual = self.now()

    def now(self) -> dict[str, str]:
        """What stands in each field, as a person reads it."""
        return {name: _shown(field) for name, field in self._fields.items()}

    def unusual(self, names: Iterable[str]) -> list[str]:
        """What of these fields is not as usual, each as ``"start (s) 5"``."""
        now = self.now()
        return [
            f"{_text(self._fields[name]).description} {now[name] or 'empty'}"
            for name in names
            if now[name] != self._usual[name]
        ]

    def set(self, chosen: Mapping[str, str]) -> None:
        """Fill the fields in, as far as what was chosen is still offered."""
        for name, field in self._fields.items():
            value, widget = chosen.get(name), _text(field)
            if not isinstance(value, str):
                continue
            if not hasattr(widget, "options"):
                widget.value = value
            elif isinstance(widget.label, tuple):
                widget.label = tuple(value.split(", "))
            elif value in [label for label, _ in widget.options]:
                widget.label = value

    def on_change(self, do: Callable[[], object]) -> None:
        for field in self._fields.values():
            _text(field).observe(lambda _: do(), "value")


def _text(field: ipywidgets.Widget) -> ipywidgets.Widget:
    return field.text if isinstance(field, NumberField) else field


def _shown(field: ipywidgets.Widget) -> str:
    widget = _text(field)
    shown = widget.label if hasattr(widget, "options") else widget.value
    return ", ".join(shown) if isinstance(shown, tuple) else str(shown or "").strip()


class Memory:
    """A small file with the last choices and the files of the last good result; no key is in it."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._path = folder, folder / ".panel.json"

    def choices(self) -> dict[str, str]:
        chosen = self._read().get("choices")
        return chosen if isinstance(chosen, dict) else {}

    def last(self) -> list[Path]:
        """The files of the last good result that are still there."""
        names = self._read().get("last")
        paths = [self._folder / str(name) for name in names] if isinstance(names, list) else []
        return [path for path in paths if path.is_file()]

    def keep(self, choices: Mapping[str, str], result: Sequence[Path] | None = None) -> None:
        """Remember choices, and a result if there is a new one."""
        if result is None:
            names = self._read().get("last", [])
        else:
            names = [path.relative_to(self._folder).as_posix() for path in result]
        text = json.dumps({"choices": dict(choices), "last": names}, indent=1)
        with replacing(self._path) as aside:
            aside.write_text(text + "\n", encoding="utf-8")

    def _read(self) -> dict[str, object]:
        try:
            held = json.loads(self._path.read_text(encoding="utf-8"))
        except (OSError, ValueError):  # none yet, or somebody else's
            return {}
        return held if isinstance(held, dict) else {}
