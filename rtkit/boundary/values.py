"""Validating values from untrusted files: types and bounds.

A class's annotations say what it accepts. `made_of` creates an instance from JSON, or says briefly
why it cannot.
"""

from __future__ import annotations

import contextlib
import math
import types
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from numbers import Real
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from rtkit.boundary.text import clean, told

__all__ = [
    "Count",
    "Data",
    "Duration",
    "Instant",
    "Raw",
    "Within",
    "check_numbers",
    "data",
    "made_of",
    "number",
    "text",
]

T = TypeVar("T")
DEPTH = 16  # of what is kept as it is
LARGEST = 2**53  # up to which floats tell whole numbers apart


@dataclass(frozen=True, slots=True)
class Within:
    """Bounds of a number, which are still within it."""

    least: float
    most: float


Count = Annotated[int, Within(0, LARGEST)]
Duration = Annotated[float, Within(0, 1e9)]  # seconds
Instant = Annotated[float, Within(-1e9, 1e9)]  # seconds
Raw = Annotated[str, "raw"]  # text as it came: it is read, and not shown
Data = Annotated[Mapping[str, Any], "data"]  # JSON that is kept as it is

_Check = Callable[[Any], Any]


def made_of(cls: Callable[..., T], said: Any) -> T:
    """Create an instance of a dataclass from a JSON object of its fields.

    Unknown fields are ignored, because a later version of rtkit may add some.

    Raises
    ------
    ValueError
        If a field is missing, of another type, or out of bounds.
    """
    if type(said) is not dict:
        raise ValueError(f"{told(said, 60)} is not a JSON object")
    values = {}
    for name, check, required in _checks(cls):
        if name in said:
            try:
                values[name] = check(said[name])
            except ValueError as error:
                raise ValueError(f"{name} {error}") from None
        elif required:
            raise ValueError(f"{name} is missing")
    return cls(**values)


def data(value: Any, depth: int = DEPTH) -> Any:
    """JSON with clean texts, if it is not nested too deeply and all numbers are finite."""
    if value is None or type(value) is bool:
        return value
    if type(value) is str:
        return clean(value)
    if type(value) in (int, float):
        if math.isfinite(number(value)):
            return value
        raise ValueError(f"holds {value}, which is not a finite number")
    if not depth:
        raise ValueError(f"is nested deeper than {DEPTH} levels")
    if type(value) is list:
        return [data(one, depth - 1) for one in value]
    if type(value) is dict:
        return {clean(str(name)): data(one, depth - 1) for name, one in value.items()}
    raise ValueError(f"is not JSON, but {type(value).__name__}")


@cache
def _checks(cls: Any) -> tuple[tuple[str, _Check, bool], ...]:
    """Of each field its name, what looks at a value, and whether there must be one."""
    hints = get_type_hints(cls, include_extras=True)
    return tuple(
        (
            one.name,
            _check(hints[one.name]),
            one.default is MISSING and one.default_factory is MISSING,
        )
        for one in fields(cls)
        if one.compare  # what is not, was derived from the others and stands in no file
    )


def _check(hint: Any) -> _Check:  # of a type, what looks at values of it
    if hint in _AS_THEY_ARE:
        return _AS_THEY_ARE[hint]
    if get_origin(hint) is Annotated:
        kind, within = get_args(hint)
        return _number((int,) if kind is int else (int, float), within)
    if hint is int or hint is float:
        bounds = Within(-LARGEST, LARGEST)
        return _number((int,) if hint is int else (int, float), bounds)
    if get_origin(hint) in (Union, types.UnionType):
        return _any_of([_check(one) for one in get_args(hint) if one is not type(None)], hint)
    if get_origin(hint) is tuple:
        return _tuple(get_args(hint))
    raise TypeError(f"{hint} cannot be read from JSON")


def _number(kinds: tuple[type, ...], within: Within) -> _Check:
    least, most = within.least, within.most
    whole = kinds == (int,)

    def check(value: Any) -> Any:
        if type(value) in kinds and least <= value <= most:  # NaN is not
            return value if whole else float(value)
        wanted = "a whole number" if whole else "a number"
        raise ValueError(f"is {told(repr(value), 60)}, not {wanted} of {least:g} to {most:g}")

    return check


def _raw(value: Any) -> str:
    if type(value) is str:
        return value
    raise ValueError(f"is {told(repr(value), 60)}, not text")


def text(value: Any) -> str:
    """Clean text; raises ValueError for anything else."""
    return clean(_raw(value))


def _flag(value: Any) -> bool:
    if type(value) is bool:
        return value
    raise ValueError(f"is {told(repr(value), 60)}, neither true nor false")


def _object(value: Any) -> Any:
    if type(value) is dict:
        return data(value)
    raise ValueError(f"is {told(repr(value), 60)}, not a JSON object")


def _any_of(checks: list[_Check], hint: Any) -> _Check:
    empty = type(None) in get_args(hint)

    def check(value: Any) -> Any:
        if value is None and empty:
            return None
        for one in checks[:-1]:
            try:
                return one(value)
            except ValueError:
                continue
        return checks[-1](value)

    return check


def _tuple(of: tuple[Any, ...]) -> _Check:
    """``tuple[X, ...]``, or one of as many values as it names."""
    several = of[-1] is ...
    checks = [_check(one) for one in of if one is not ...]

    def check(value: Any) -> Any:
        if type(value) is not list or not (several or len(value) == len(checks)):
            wanted = "a list" if several else f"a list of {len(checks)}"
            raise ValueError(f"is {told(repr(value), 60)}, not {wanted}")
        if several:
            return tuple(map(checks[0], value))
        return tuple(one(item) for one, item in zip(checks, value, strict=True))

    return check


def number(value: Any) -> float:
    """A number, including infinity and NaN; raises ValueError for anything else."""
    if type(value) in (int, float):
        with contextlib.suppress(OverflowError):
            return float(value)
    raise ValueError(f"is {told(repr(value), 60)}, not a number")


def check_numbers(*, optional: bool = False, unit: str = "seconds", **values: object) -> None:
    """Refuse an argument that is not a number; None is accepted where it is optional."""
    for name, value in values.items():
        if not (isinstance(value, Real) or (optional and value is None)):
            unit = "samples a second" if name == "rate" else unit
            wanted = f"give a number{unit and f' of {unit}'}"
            raise TypeError(f"{name}={told(repr(value), 60)} is not a number; {wanted}")


def _anything(value: Any) -> Any:
    return value


_AS_THEY_ARE: Mapping[Any, _Check] = {
    Any: _anything,
    Data: _object,
    Raw: _raw,
    str: text,
    bool: _flag,
}
