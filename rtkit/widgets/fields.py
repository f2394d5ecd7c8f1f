"""The panel's fields: numbers that stay as typed, with names above and messages below."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import ipywidgets
import traitlets

__all__ = [
    "FieldError",
    "NumberField",
    "Toggles",
    "alert",
    "button",
    "disclosure",
    "dropdown",
    "grid",
    "in_a_row",
    "mark",
    "stacked",
    "text",
]

NUMBER = re.compile(r"[+-]?(\d+[.,]?\d*|[.,]\d+)", re.ASCII)
GROUPED = re.compile(r"[+-]?\d{1,3}(,\d{3})+(\.\d*)?", re.ASCII)


class FieldError(ValueError):
    """What stands in a field cannot be used; the sentence names the field."""


class NumberField(ipywidgets.VBox):  # type: ignore[misc]
    """A number as it was typed, with a decimal point or comma.

    What is none, or out of range, stays as it is, is marked, and a sentence below says what to
    type; `number` refuses it.

    Parameters
    ----------
    value : float or str
        What stands in the field at first.
    description, css : str
        The field's name, and its class.
    low, high : float
        The range, both ends included.
    unit : str
        Of the number, in sentences.
    empty : float, optional
        What an empty field stands for; without it a number has to be typed.
    whole : bool
        Whether it has to be a whole number.
    """

    def __init__(
        self,
        value: float | str,
        *,
        description: str,
        tooltip: str,
        css: str = "number",
        low: float = 0,
        high: float = math.inf,
        unit: str = "",
        empty: float | None = None,
        whole: bool = False,
        placeholder: str = "",
    ) -> None:
        self.low, self.high = low, high
        self._unit, self._empty, self._whole = unit, empty, whole
        self.text = ipywidgets.Text(
            _written(value),
            description=description,
            tooltip=tooltip,
            placeholder=placeholder,
            continuous_update=False,
        )
        self.note = ipywidgets.HTML(layout={"display": "none"})
        super().__init__([stacked(self.text), self.note], layout={"overflow": "visible"})
        self.add_class("rt-number").add_class(f"rt-{css}")
        self.text.observe(lambda _: self.check(), "value")

    @property
    def value(self) -> float | None:
        """The number that is typed, also one out of range; None if there is none."""
        try:
            return self._parse()
        except FieldError:
            return None

    @value.setter
    def value(self, value: float | str) -> None:
        self.text.value = _written(value)

    @property
    def error(self) -> str:
        """What is wrong with it; empty if nothing is."""
        try:
            self.number()
        except FieldError as error:
            return str(error)
        return ""

    def number(self) -> float:
        """The number, if it can be used; raises `FieldError`."""
        found = self._parse()
        if self._whole and found != round(found):
            raise self._refusal(f"{self.text.value.strip()} is not a whole number")
        if not self.low <= found <= self.high:
            raise self._refusal(f"{self.text.value.strip()} is out of range")
        return found

    def check(self) -> None:
        """Mark the field, or no longer."""
        self.complain(self.error.removeprefix(f"{self.text.description}: "))

    def complain(self, sentence: str) -> None:
        """Mark the field and say why; without a sentence the mark goes."""
        self.note.layout.display = "block" if sentence else "none"
        self.note.value = alert(sentence) if sentence else ""
        mark(self.text, refused=bool(sentence))

    def on_change(self, do: Callable[[], object]) -> None:
        """Call `do` whenever something else is typed or set."""
        self.text.observe(lambda _: do(), "value")

    def _parse(self) -> float:
        typed = self.text.value.strip().replace("\N{MINUS SIGN}", "-")
        if not typed and self._empty is not None:
            return self._empty
        if GROUPED.fullmatch(typed):
            either = f"{typed.replace(',', '')} or {typed.replace(',', '.', 1)}"
            raise self._refusal(f"{typed} can be read in two ways, as {either}")
        if not NUMBER.fullmatch(typed):
            raise self._refusal(f"{typed} is not a number" if typed else "nothing is typed")
        return float(typed.replace(",", "."))

    def _refusal(self, why: str) -> FieldError:
        unit = f" {self._unit}" if self._unit else ""
        to = f"{self.low:g} to {self.high:g}" if self.high < math.inf else f"{self.low:g} or more"
        return FieldError(f"{self.text.description}: {why}. Type {to}{unit}.")


class Toggles(ipywidgets.VBox):  # type: ignore[misc]
    """Boxes to tick, any number of them: `value` holds what is ticked, `label` their names.

    Parameters
    ----------
    options : iterable of (str, str)
        Each one's name and value.
    tooltip : str
        For each, with its name in place of ``{}``.
    """

    value = traitlets.Tuple()

    def __init__(
        self, options: Iterable[tuple[str, str]], *, description: str, tooltip: str
    ) -> None:
        self.description, self.options = description, tuple(options)
        self.boxes = {
            value: ipywidgets.Checkbox(
                description=name,
                tooltip=tooltip.format(name),
                indent=False,
                layout={"width": "auto"},
            )
            for name, value in self.options
        }
        title = ipywidgets.HTML(f"<span>{html.escape(description)}</span>")
        super().__init__([title, in_a_row(*self.boxes.values())])
        self.add_class("rt-toggles")
        for box in self.boxes.values():
            box.observe(lambda _: self._ticked(), "value")
        self.observe(lambda change: self._set(change["new"]), "value")

    @traitlets.validate("value")
    def _offered(self, proposal: Mapping[str, Any]) -> tuple[str, ...]:
        return tuple(value for _, value in self.options if value in proposal["value"])

    @property
    def label(self) -> tuple[str, ...]:
        return tuple(name for name, value in self.options if value in self.value)

    @label.setter
    def label(self, names: Iterable[str]) -> None:
        offered = dict(self.options)
        self.value = tuple(offered[name] for name in names if name in offered)

    def hide(self, hidden: str) -> None:
        """Offer all but this one."""
        self.boxes[hidden].value = False
        for value, box in self.boxes.items():
            box.layout.display = "none" if value == hidden else "flex"

    def _ticked(self) -> None:
        self.value = tuple(value for value, box in self.boxes.items() if box.value)

    def _set(self, values: Iterable[str]) -> None:
        with self.hold_trait_notifications():
            for value, box in self.boxes.items():
                box.value = value in values


def _written(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.12g}"


def alert(sentence: str) -> str:
    """A sentence that a screen reader says at once."""
    return f'<div role="alert" class="rt-alert">{html.escape(sentence)}</div>'


def mark(widget: ipywidgets.Widget, *, refused: bool) -> None:
    """Mark a field whose value cannot be used; `browser.js` tells screen readers."""
    (widget.add_class if refused else widget.remove_class)("rt-refused")


def button(css: str, name: str, icon: str, tooltip: str, **how: Any) -> ipywidgets.Button:
    """A button, as wide as its name if nothing else is asked for."""
    options = {"layout": {"width": "auto"}, **how}
    made = ipywidgets.Button(description=name, icon=icon, tooltip=tooltip, **options)
    return made.add_class(f"rt-{css}")


def dropdown(
    css: str, name: str, options: Iterable[Any], tooltip: str, **how: Any
) -> ipywidgets.Dropdown:
    """A choice, its name above it."""
    made = ipywidgets.Dropdown(description=name, options=options, tooltip=tooltip, **how)
    return stacked(made).add_class(f"rt-{css}")


def text(css: str, name: str, placeholder: str, tooltip: str, **how: Any) -> ipywidgets.Text:
    """A line to type, its name above it."""
    made = ipywidgets.Text(description=name, placeholder=placeholder, tooltip=tooltip, **how)
    return stacked(made).add_class(f"rt-{css}")


def stacked(widget: ipywidgets.Widget) -> ipywidgets.Widget:
    """The field, its name above it."""
    widget.add_class("rt-stacked")
    widget.layout.width = "auto"
    return widget


def grid(*widgets: ipywidgets.Widget, least: str = "13em") -> ipywidgets.Widget:
    """Fields side by side, as many as there is room for."""
    return ipywidgets.GridBox(
        list(widgets),
        layout={
            "grid_template_columns": f"repeat(auto-fill, minmax({least}, 1fr))",
            "grid_gap": "4px 16px",
            "align_items": "flex-start",
            "overflow": "visible",
        },
    )


def in_a_row(*widgets: ipywidgets.Widget) -> ipywidgets.Widget:
    """Side by side where there is room, else one below the other."""
    layout = {"flex_flow": "row wrap", "align_items": "center", "overflow": "visible"}
    return ipywidgets.HBox(list(widgets), layout=layout)


def disclosure(name: str, inside: ipywidgets.Widget, *, tooltip: str) -> ipywidgets.Checkbox:
    """What shows or hides `inside`: a box to tick, so that its state is told to everybody."""
    switch = ipywidgets.Checkbox(False, description=name, tooltip=tooltip, indent=False)
    switch.layout.width = "auto"
    switch.add_class("rt-disclosure")

    def show(_: object = None) -> None:
        inside.layout.display = "flex" if switch.value else "none"

    switch.observe(show, "value")
    show()
    return switch
