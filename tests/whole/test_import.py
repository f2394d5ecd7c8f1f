"""`import rtkit` is light, changes nothing, and every name it promises is there."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
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
    tree = ast.parse((ROOM / "__init__.pyi").read_text(encoding="utf-8"))
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
    rooms = {path.stem for path in ROOM.glob("*.py")} | {path.name for path in ROOM.glob("*/")}
    assert "sending" in rooms
    assert rooms.isdisjoint(rtkit.__all__)
