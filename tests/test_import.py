"""`import rtkit` is light, changes nothing, and every name it promises is there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

import rtkit

ROOM = Path(rtkit.__file__).parent


def fresh(script: str) -> str:
    """What a script prints in an interpreter of its own."""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_rtkit_loads_nothing_heavy() -> None:
    loaded = json.loads(fresh("import rtkit, sys, json; print(json.dumps(sorted(sys.modules)))"))
    heavy = {
        "IPython",
        "ipywidgets",
        "matplotlib",
        "nest_asyncio",
        "nest_asyncio2",
        "numpy",
        "soundfile",
        "websockets",
    }
    assert "rtkit" in loaded
    assert heavy.isdisjoint(loaded)


@pytest.mark.parametrize(
    ("module", "unneeded"),
    [
        ("rtkit.streaming", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets")),
        ("rtkit.session", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets", "soundfile")),
        ("rtkit.loopback.process", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets")),
        ("rtkit.loopback.server", ("matplotlib", "ipywidgets", "nest_asyncio2")),
        ("rtkit.clock", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets", "numpy")),
    ],
)
def test_each_heavy_library_is_met_where_it_is_used(module: str, unneeded: tuple[str, ...]) -> None:
    script = f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"
    assert set(unneeded).isdisjoint(json.loads(fresh(script)))


def test_importing_rtkit_leaves_asyncio_alone() -> None:
    fresh(
        "import asyncio\n"
        "before = asyncio.run, asyncio.Task, asyncio.Future, asyncio.new_event_loop\n"
        "import rtkit, rtkit.clock, rtkit.streaming\n"
        "rtkit.run, rtkit.stream, rtkit.Loopback\n"
        "after = asyncio.run, asyncio.Task, asyncio.Future, asyncio.new_event_loop\n"
        "assert before == after\n"
        "assert asyncio.Task.__module__ == '_asyncio'\n"
    )


def names_for_type_checkers() -> dict[str, set[str]]:
    """What stands under TYPE_CHECKING: module -> names."""
    tree = ast.parse((ROOM / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    names: dict[str, set[str]] = defaultdict(set)
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        home = str(node.module).removeprefix("rtkit.")
        names[home] |= {name.asname or name.name for name in node.names}
    return names


def test_type_checkers_and_python_see_the_same_names() -> None:
    assert names_for_type_checkers() == {
        module: set(names) for module, names in rtkit._MODULES.items()
    }
    assert set(rtkit.__all__) <= set(dir(rtkit))


@pytest.mark.parametrize("name", rtkit.__all__)
def test_every_promised_name_is_there(name: str) -> None:
    module = next(home for home, names in rtkit._MODULES.items() if name in names)
    assert getattr(rtkit, name) is getattr(sys.modules[f"rtkit.{module}"], name)


def test_an_unknown_name_is_loud() -> None:
    with pytest.raises(AttributeError, match=r"rtkit has no 'steam'; it has .*stream"):
        rtkit.steam  # noqa: B018


def test_no_module_bears_a_public_names_name() -> None:
    """`rtkit.stream` must stay the function, whatever has been imported."""
    rooms = {path.stem for path in ROOM.glob("*.py")} | {path.name for path in ROOM.glob("*/")}
    assert "streaming" in rooms
    assert rooms.isdisjoint(rtkit.__all__)


# The floors.


def floors() -> dict[str, int]:
    """The table of CONTRIBUTING.md: module -> floor."""
    text = (ROOM.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.+) \|$", text, flags=re.MULTILINE)
    found = [(name.rstrip("/"), int(floor)) for floor, row in rows for name in named(row)]
    assert len(found) == len(dict(found)), "a module stands on two floors"
    return dict(found)


def named(row: str) -> list[str]:
    return re.findall(r"`([\w/]+)`", row)


def imported(body: Iterable[ast.AST]) -> Iterator[str]:
    """The modules of rtkit that a body imports as it is loaded, whatever it nests."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            yield from imported(node.orelse)
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module == "rtkit":
            yield from (f"rtkit.{name.name}" for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"a relative import: {ast.unparse(node)}"
            yield str(node.module)
        else:
            yield from imported(ast.iter_child_nodes(node))


def room(path: Path) -> str:
    """The name under which a file stands in the table: its own, or its folder's."""
    return path.relative_to(ROOM).parts[0].removesuffix(".py")


FILES = sorted(path for path in ROOM.rglob("*.py") if room(path) != "__init__")


def test_every_module_stands_on_a_floor() -> None:
    assert set(floors()) == {room(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOM)))
def test_imports_run_downward_only(path: Path) -> None:
    floor = floors()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for module in imported(tree.body):
        package, _, name = module.partition(".")
        if package == "rtkit":
            assert floor[name.partition(".")[0]] <= floor[room(path)], f"{module}: a floor above"


def test_an_import_from_above_is_found_wherever_it_stands() -> None:
    tree = ast.parse(
        "from rtkit import widgets\n"
        "try:\n    import rtkit.plots\nexcept ImportError:\n    from rtkit.page import report\n"
        "if TYPE_CHECKING:\n    from rtkit.crowd import Crowd\n"
        "def later():\n    from rtkit.sweeps import sweep\n"
    )
    assert [*imported(tree.body)] == ["rtkit.widgets", "rtkit.plots", "rtkit.page"]
