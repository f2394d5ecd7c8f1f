"""A process that rtkit starts runs rtkit's code and Python's, not what lies near a notebook."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

import rtkit
from rtkit.boundary.children import child_command, child_environment

PLANTED = ("queue", "json", "asyncio", "numpy", "websockets", "rtkit", "sitecustomize")
EVIL = "import os, pathlib; pathlib.Path(os.environ['SEEN']).touch(); raise SystemExit('planted')"


def test_a_child_imports_nothing_from_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in PLANTED:
        (tmp_path / f"{name}.py").write_text(EVIL)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((".", str(tmp_path))))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("PYTHONIOENCODING", "utf-16")  # and the pipes hold UTF-8 nevertheless
    monkeypatch.setenv("PYTHONINSPECT", "1")
    command = child_command("rtkit.sending.process")
    where = command.index("-c") + 1  # it waits for its session, gets none, and tells where it lies
    command[where] = f"import atexit\n{command[where]}".replace(
        "runpy.run", "atexit.register(lambda: print(package.__file__)); runpy.run"
    )
    done = subprocess.run(
        command, env=child_environment(), input="", capture_output=True, text=True
    )
    assert not (tmp_path / "seen").exists(), done.stderr
    assert "EOFError" in done.stderr
    assert Path(done.stdout.strip()).samefile(rtkit.__file__)


@pytest.mark.parametrize(
    ("paths", "kept"),
    [
        (None, None),
        ("", None),
        (".", None),
        ("{here}", None),
        ("{here}/../{name}/:", None),
        ("/somewhere:{here}:there::", "/somewhere:there"),
    ],
)
def test_the_working_directory_is_none_of_the_paths(
    monkeypatch: pytest.MonkeyPatch, paths: str | None, kept: str | None
) -> None:
    here = Path.cwd()
    monkeypatch.delenv("PYTHONPATH", raising=False)
    if paths is not None:
        named = paths.format(here=here, name=here.name).replace(":", os.pathsep)
        monkeypatch.setenv("PYTHONPATH", named)
    wanted = None if kept is None else kept.replace(":", os.pathsep)
    assert child_environment().get("PYTHONPATH") == wanted


def test_every_child_is_started_like_that() -> None:
    package = Path(rtkit.__file__).parent
    for path in package.rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        if path.name != "children.py":
            assert "sys.executable" not in text, path
        starts = len(re.findall(r"Popen\(|create_subprocess_exec\(|subprocess\.run\(", text))
        assert text.count("env=child_environment()") == starts, path
