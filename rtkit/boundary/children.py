"""Starting a module of rtkit in its own process, safe from files in the working directory.

``python -m MODULE`` puts the working directory first on the path, so a ``queue.py`` beside a
notebook would run in the child, with access to the key.
"""

from __future__ import annotations

import os
import subprocess
import sys
import weakref
from collections.abc import Iterator
from pathlib import Path

__all__ = ["child_command", "child_environment", "start_child"]

_PACKAGE = Path(__file__).parents[1] / "__init__.py"
_OWN = {"PYTHONPATH", "PYTHONINSPECT"}  # with the latter, a child would not end with its work
# The parent's own rtkit, by its place: with it nothing else that lies there gets on the path.
_START = """
import importlib.util, runpy, sys
spec = importlib.util.spec_from_file_location("rtkit", sys.argv.pop(1))
package = sys.modules["rtkit"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def child_command(module: str) -> list[str]:
    """What ``python -m MODULE`` does, with this rtkit and no other file that is near."""
    return [sys.executable, "-P", "-c", _START, str(_PACKAGE), module]


def child_environment() -> dict[str, str]:
    """This process's, without the working directory among the paths of PYTHONPATH.

    What goes through the pipes is UTF-8, whatever this computer's and the person's settings are.
    """
    paths = os.pathsep.join(_elsewhere(os.getenv("PYTHONPATH", "")))
    others = {name: value for name, value in os.environ.items() if name not in _OWN}
    return {**others, "PYTHONIOENCODING": "utf-8"} | ({"PYTHONPATH": paths} if paths else {})


def _elsewhere(paths: str) -> Iterator[str]:
    """Of these, what is not the working directory, as an empty one is, too."""
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed, and nothing lies there
        return (path for path in paths.split(os.pathsep) if Path(path).is_absolute())
    return (path for path in paths.split(os.pathsep) if path and Path(path).resolve() != here)


def start_child(module: str) -> subprocess.Popen[str]:
    """Start a module that ends when its standard input does, and answers on its standard output.

    In a session of its own, so that an interrupt at the terminal reaches the parent only, which
    then says what is to be done. A fork of this process does not keep it alive.

    Raises
    ------
    RuntimeError
        If the system has no room for it.
    """
    try:
        child = subprocess.Popen(
            child_command(module),
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )
    except OSError as error:
        why = error.strerror
    else:
        _started.add(child)
        return child
    # Out here the error carries no environment along, and no key in it.
    raise RuntimeError(f"No process can be started ({why}). Close other programs, and try again.")


_started: weakref.WeakSet[subprocess.Popen[str]] = weakref.WeakSet()  # of this process alone


def _let_go() -> None:
    """In a fork: the children are the parent's, and so is what they are told."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    for child in list(_started):
        for pipe in (child.stdin, child.stdout):
            if pipe is not None and not pipe.closed:
                os.dup2(nowhere, pipe.fileno(), inheritable=False)
    os.close(nowhere)
    _started.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
