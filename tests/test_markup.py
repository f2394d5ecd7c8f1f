"""Tables and the package's own files: what prints, what is escaped, and what is shipped."""

from __future__ import annotations

import re
from importlib.resources import as_file, files
from pathlib import Path
from xml.etree import ElementTree

import rtkit
from rtkit.markup import Table, asset

PACKAGE = Path(rtkit.__file__).parent
NAMED = {
    name
    for path in PACKAGE.rglob("*.py")
    for name in re.findall(r"""asset\(["']([^"']+)["']\)""", path.read_text(encoding="utf-8"))
}


def cells(table: Table, tag: str) -> list[tuple[str | None, str]]:
    """The cells of that tag: their text, and what stands in their style."""
    found = ElementTree.fromstring(table._repr_html_())
    return [(cell.text, str(cell.get("style"))) for cell in found.iter(tag)]


def test_numbers_stand_on_the_right_and_texts_on_the_left() -> None:
    table = Table(("n", "what"), (("a", (1.26, "short"), ".1f"), ("b", (20, "longer"), "d")))
    assert str(table).splitlines()[2:] == ["a  1.3  short ", "b   20  longer"]
    sides = ["right" if "right" in style else "left" for _, style in cells(table, "td")]
    assert sides == ["left", "right", "left"] * 2
    assert ["right" in style for _, style in cells(table, "th")] == [False, True, False]


def test_a_single_cell_speaks_for_all_columns() -> None:
    table = Table(("a", "b"), (("same", ("x",), ""), ("own", ("x", "y"), "")), corner="setting")
    assert table["same"] == {"a": "x", "b": "x"}
    assert table["own"] == {"a": "x", "b": "y"}
    assert [line.split() for line in str(table).splitlines()[2:]] == [
        ["same", "x", "x"],
        ["own", "x", "y"],
    ]
    found = ElementTree.fromstring(table._repr_html_())
    spans = [cell.get("colspan") for cell in found.iter("td")]
    assert spans == [None, "2", None, None, None]


def test_what_stands_in_a_table_never_becomes_part_of_the_page() -> None:
    evil = "<script>alert('x')</script> & \"quoted\""
    table = Table((evil,), ((evil, (evil,), ""),), (evil,), evil)
    assert [text for text, _ in [*cells(table, "th"), *cells(table, "td")]] == [evil] * 4
    (note,) = ElementTree.fromstring(table._repr_html_()).iter("p")
    assert note.text == evil


def test_a_table_without_rows_or_columns_is_still_one() -> None:
    assert str(Table(("a",), (), corner="what")).splitlines() == ["what  a", "-------"]
    assert str(Table((), (("row", (), ""),))).splitlines() == ["   ", "---", "row"]


def test_styles_scripts_and_pages_are_files_of_the_package() -> None:
    """As an installed package holds them: what is named is there, and what is there is named."""
    kept = {
        path.relative_to(PACKAGE).as_posix()
        for suffix in ("css", "html", "js")
        for path in PACKAGE.rglob(f"*.{suffix}")
    }
    assert len(NAMED) >= 5
    assert kept == NAMED
    for name in NAMED:
        with as_file(files("rtkit") / name) as path:
            assert asset(name) == path.read_text(encoding="utf-8") != ""


def test_no_style_or_script_stands_in_a_string() -> None:
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\{ *(color|display|position|font)\b[^}]*;", text), path
        assert "document.querySelector" not in text, path
        assert "<!DOCTYPE" not in text, path
