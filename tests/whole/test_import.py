"""`import rtkit` is light, changes nothing, and every name it promises is there."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from facts import CALL

import rtkit
from rtkit.audio import open_clip

PACKAGE = Path(rtkit.__file__).parent


def fresh(script: str, *arguments: str) -> str:
    """What a script prints in an interpreter of its own."""
    command = [sys.executable, "-c", script, *arguments]
    done = subprocess.run(command, capture_output=True, text=True)
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
        ("rtkit.sending.stream", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets")),
        ("rtkit.session", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets", "soundfile")),
        ("rtkit.loopback.process", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets")),
        ("rtkit.loopback.server", ("matplotlib", "ipywidgets", "nest_asyncio2")),
        ("rtkit.clock.alarm", ("matplotlib", "ipywidgets", "nest_asyncio2", "websockets", "numpy")),
    ],
)
def test_each_heavy_library_is_met_where_it_is_used(module: str, unneeded: tuple[str, ...]) -> None:
    script = f"import {module}, sys, json; print(json.dumps(sorted(sys.modules)))"
    assert set(unneeded).isdisjoint(json.loads(fresh(script)))


JUDGED = """
import json, sys
import matplotlib
matplotlib.use("Agg")
import matplotlib.pyplot as plt
import rtkit
session = rtkit.load_session(sys.argv[1])
assert session.turns
rtkit.to_frame(session)
rtkit.summarize(session)
rtkit.report(session, sys.argv[2])
rtkit.plot_comparison(session)
for plot in (rtkit.plot_lateness, rtkit.plot_turn_latency, rtkit.plot_timeline):
    plot(session, ax=plt.figure().subplots())
rtkit.validity(session), rtkit.diagnose(session), rtkit.explain(session), rtkit.rescore(session)
print(json.dumps(sorted(sys.modules)))
"""


def test_judging_a_session_loads_no_sender_no_websocket_and_no_service(tmp_path: Path) -> None:
    path = rtkit.simulate(open_clip(CALL, seconds=10)).save(tmp_path / "a.jsonl")
    loaded = json.loads(fresh(JUDGED, str(path), str(tmp_path / "page.html")))
    unneeded = ("rtkit.sending", "rtkit.loopback", "rtkit.experiments", "websockets")
    assert [name for name in loaded if name.startswith(unneeded)] == []
    # Of services, what reads their messages and explains their endings; no double.
    vendors = [name for name in loaded if name.startswith("rtkit.services.assemblyai.")]
    assert {name.rpartition(".")[2] for name in vendors} <= {"client", "close_codes", "mistakes"}


def test_importing_rtkit_leaves_asyncio_alone() -> None:
    fresh(
        "import asyncio\n"
        "before = asyncio.run, asyncio.Task, asyncio.Future, asyncio.new_event_loop\n"
        "import rtkit, rtkit.clock.alarm, rtkit.sending.stream\n"
        "rtkit.run, rtkit.stream, rtkit.Loopback\n"
        "after = asyncio.run, asyncio.Task, asyncio.Future, asyncio.new_event_loop\n"
        "assert before == after\n"
        "assert asyncio.Task.__module__ == '_asyncio'\n"
    )


def promised() -> dict[str, str]:
    """The names of the stub: name -> the module that has it."""
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text(encoding="utf-8"))
    return {
        name.name: f"rtkit.{node.module}"
        for node in tree.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }


def test_type_checkers_and_python_see_the_same_names() -> None:
    assert set(rtkit.__all__) == set(promised())
    assert set(rtkit.__all__) <= set(dir(rtkit))


@pytest.mark.parametrize("name", sorted(promised()))
def test_every_promised_name_is_there(name: str) -> None:
    assert getattr(rtkit, name) is getattr(sys.modules[promised()[name]], name)


def test_an_unknown_name_is_loud() -> None:
    with pytest.raises(AttributeError, match="steam"):
        rtkit.steam  # type: ignore[attr-defined]  # noqa: B018


def test_no_module_bears_a_public_names_name() -> None:
    """`rtkit.stream` must stay the function, whatever has been imported."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} | {
        path.name for path in PACKAGE.glob("*/")
    }
    assert "sending" in modules
    assert modules.isdisjoint(rtkit.__all__)


# The layers.


def layers() -> dict[str, int]:
    """The table of CONTRIBUTING.md: the name of a module or package -> its layer."""
    text = (PACKAGE.parent / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d) \| (.+) \|$", text, flags=re.MULTILINE)
    found = [(name.rstrip("/"), int(layer)) for layer, row in rows for name in named(row)]
    assert len(found) == len(dict(found)), "a module stands in two layers"
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


def place(path: Path) -> str:
    """The name under which a file stands in the table: its own, or its package's."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


FILES = sorted(path for path in PACKAGE.rglob("*.py") if place(path) != "__init__")


def test_every_module_stands_in_a_layer() -> None:
    assert set(layers()) == {place(path) for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_run_downward_only(path: Path) -> None:
    layer = layers()
    apart = {"sending": "analysis", "analysis": "sending"}.get(place(path))
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for module in imported(tree.body):
        package, _, name = module.partition(".")
        if package == "rtkit":
            other = name.partition(".")[0]
            assert layer[other] <= layer[place(path)], f"{module}: a layer above"
            assert other != apart, f"{module}: sending and analysis stand apart"


def test_sending_and_analysis_stand_apart_even_inside_functions() -> None:
    for package, other in (("sending", "analysis"), ("analysis", "sending")):
        for path in (PACKAGE / package).rglob("*.py"):
            assert f"rtkit.{other}" not in path.read_text(encoding="utf-8"), path


def test_no_module_imports_itself_through_others() -> None:
    """No circle, not even one that is only closed when a function is called."""
    modules = {
        ".".join(("rtkit", *path.relative_to(PACKAGE).with_suffix("").parts)): path
        for path in FILES
    }
    edges: dict[str, set[str]] = {}
    for name, path in modules.items():
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found = {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        found |= {
            f"{n.module}.{one.name}"
            for n in ast.walk(tree)
            if isinstance(n, ast.ImportFrom)
            for one in n.names
        }
        edges[name] = (found & modules.keys()) - {name}
    done: set[str] = set()
    while free := {name for name in edges if name not in done and edges[name] <= done}:
        done |= free
    assert sorted(edges.keys() - done) == []


def test_an_import_from_above_is_found_wherever_it_stands() -> None:
    tree = ast.parse(
        "from rtkit import widgets\n"
        "try:\n    import rtkit.views.plots\n"
        "except ImportError:\n    from rtkit.views.page import report\n"
        "if TYPE_CHECKING:\n    from rtkit.experiments.many import stream_many\n"
        "def later():\n    from rtkit.experiments.sweep.sweep import sweep\n"
    )
    assert [*imported(tree.body)] == ["rtkit.widgets", "rtkit.views.plots", "rtkit.views.page"]


def test_the_top_level_is_short() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 8
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert {"clock", "services", "loopback", "sending", "analysis"} <= folders


def test_no_file_is_longer_than_a_reader_keeps_in_mind() -> None:
    files = [*FILES, *PACKAGE.rglob("*.js"), *PACKAGE.rglob("*.css")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {str(path): count for path, count in lengths.items() if count > 450} == {}
