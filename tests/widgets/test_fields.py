"""What is typed stays as it was typed: read with a point or a comma, refused in a sentence."""

from __future__ import annotations

from collections.abc import Iterator

import ipywidgets
import pytest

from rtkit.widgets.fields import FieldError, NumberField


@pytest.fixture(autouse=True)
def _no_widget_outlives_its_test() -> Iterator[None]:
    yield
    ipywidgets.Widget.close_all()


def a_field(**options: float) -> NumberField:
    shape = {"low": 50.0, "high": 1000.0, **options}
    return NumberField(100, description="chunk (ms)", tooltip="", unit="ms", **shape)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        *(("62.5", 62.5), ("62,5", 62.5), (" 100 ", 100), ("+70", 70), ("70.", 70), ("1000", 1000)),
        *(("50", 50), ("099", 99), ("50,000", None), ("1,000", None), ("1,234.5", None)),
        *(("5", None), ("-3", None), ("\N{MINUS SIGN}3", None), ("1001", None), ("49.999", None)),
        *(("", None), ("fast", None), ("1e2", None), ("1_00", None), ("100 ms", None)),
        *(("nan", None), ("inf", None), ("1.2.3", None), ("２００", None), ("0x64", None)),
    ],
)
def test_a_number_is_read_as_it_was_meant_or_refused_and_never_changed(
    typed: str, number: float | None
) -> None:
    field = a_field()
    field.text.value = typed
    assert field.text.value == typed
    marked = "rt-refused" in field.text._dom_classes
    assert marked is (number is None)
    assert (field.note.layout.display == "block") is marked
    if number is not None:
        assert field.number() == number
        assert field.error == ""
        return
    assert "50 to 1000 ms" in field.note.value
    assert 'role="alert"' in field.note.value
    with pytest.raises(FieldError, match=r"^chunk \(ms\): .*Type 50 to 1000 ms\."):
        field.number()
    field.text.value = "100"
    assert field.error == field.note.value == ""
    assert "rt-refused" not in field.text._dom_classes


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("5", "5 is out of range"),
        ("1,000", "1,000 can be read in two ways, as 1000 or 1.000"),
        ("", "nothing is typed"),
        ("fast", "fast is not a number"),
    ],
)
def test_the_sentence_says_why(typed: str, why: str) -> None:
    field = a_field()
    field.value = typed
    assert field.error == f"chunk (ms): {why}. Type 50 to 1000 ms."


def test_what_code_sets_is_what_stands_there() -> None:
    field = a_field()
    for number, shown in ((62.5, "62.5"), (200, "200"), (5, "5"), (-3, "-3")):
        field.value = number
        assert field.text.value == shown
        assert field.value == number
    field.value = "soon"
    assert field.value is None


def test_whole_numbers_and_empty_fields() -> None:
    repeats = NumberField(2, description="repeats", tooltip="", low=1, high=20, whole=True)
    repeats.value = 2.5
    assert repeats.error == "repeats: 2.5 is not a whole number. Type 1 to 20."
    length = NumberField(25, description="length (s)", tooltip="", unit="s", empty=0)
    length.value = ""
    assert length.number() == 0
    length.value = -1
    assert length.error == "length (s): -1 is out of range. Type 0 or more s."
