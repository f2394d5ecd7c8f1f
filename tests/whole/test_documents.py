"""What the documents point to is there, and their words are the program's."""

from __future__ import annotations

import ast
import contextlib
import inspect
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtkit
from rtkit.loopback.faults import FAULTS
from rtkit.views.glossary import GLOSSARY

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    *ROOT.glob("*.md"),
    *(ROOT / "docs").glob("*.md"),
    ROOT / "data/README.md",
    ROOT / "notebooks/README.md",
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_and_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", text)
    named = re.findall(r"`((?:tests|data|notebooks|rtkit)/[\w./-]+)`", text)
    assert [name for name in linked if not (document.parent / name).exists()] == []
    assert [name for name in named if not (ROOT / name).exists()] == []
    for name, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", text):
        assert anchor in anchors(document.parent / name if name else document)


def anchors(document: Path) -> list[str]:
    """Of its headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.+)$", document.read_text(encoding="utf-8"), re.MULTILINE)
    return [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_every_call_is_one_that_the_program_takes(document: Path) -> None:
    for call in calls(document.read_text(encoding="utf-8")):
        assert isinstance(call.func, ast.Attribute)
        assert call.func.attr in rtkit.__all__
        if not any(isinstance(one, ast.Constant) and one.value is ... for one in call.args):
            named = {str(one.arg): one.value for one in call.keywords}
            inspect.signature(getattr(rtkit, call.func.attr)).bind(*call.args, **named)


def calls(text: str) -> Iterator[ast.Call]:
    """Of rtkit's names; each goes to the first parenthesis with which it is Python."""
    for begun in re.finditer(r"rtkit\.\w+\(", text):
        for end in re.finditer(r"\)", text[begun.end() :]):
            with contextlib.suppress(SyntaxError):
                code = text[begun.start() : begun.end() + end.end()]
                call = ast.parse(code, mode="eval").body
                assert isinstance(call, ast.Call)
                yield call
                break
        else:
            pytest.fail(f"not Python: {text[begun.start() :][:60]}")


def test_the_documents_call_something() -> None:
    assert any(True for one in DOCUMENTS for _ in calls(one.read_text(encoding="utf-8")))


def test_a_table_of_words_says_what_the_glossary_says() -> None:
    texts = [document.read_text(encoding="utf-8") for document in DOCUMENTS]
    tables = [text.partition("| word | what it means |")[2].partition("\n\n")[0] for text in texts]
    rows = [row for table in tables for row in re.findall(r"^\| (.+?) \| (.+) \|$", table, re.M)]
    said = [(word, means) for word, means in rows if set(word) != {"-"}]
    assert said
    assert [row for row in said if row not in GLOSSARY.items()] == []


def test_every_notebook_is_in_the_index() -> None:
    index = (ROOT / "notebooks/README.md").read_text(encoding="utf-8")
    names = {path.name for path in (ROOT / "notebooks").glob("*.ipynb")}
    assert names <= set(re.findall(r"\]\(([^)]+\.ipynb)\)", index))


def test_the_service_tells_how_to_start_it() -> None:
    shown = subprocess.run(
        [sys.executable, "-m", "rtkit.loopback", "--help"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "--port" in shown
    assert "--script" in shown
    table = shown[shown.index("faults (--fault)") :]
    for name, kind in FAULTS.items():  # a line each
        assert re.search(rf"^  {name}\b.*{re.escape(kind.does)}$", table, re.MULTILINE)
    options = {text.split()[0]: text for text in shown.split("\n  --")[1:]}
    for option, default in (
        *(("delay-spread", "0"), ("seed", "0"), ("max-speed", "1.25"), ("backlog", "300")),
        *(("max-duration", "10800"), ("finals", "1"), ("port", "8765")),
    ):
        assert f"({default})" in options[option]


def test_who_cites_it_names_this_version() -> None:
    assert f"\nversion: {rtkit.__version__}\n" in (ROOT / "CITATION.cff").read_text(
        encoding="utf-8"
    )
