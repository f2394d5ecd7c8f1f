"""Starting a module of rtkit in a process of its own, whatever lies in the working directory.

``python -m MODULE`` puts the working directory first on the path: a ``queue.py`` beside a notebook
would run in the child, with the key in reach.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

__all__ = ["child_command", "child_environment"]

_PACKAGE = Path(__file__).parents[1] / "__init__.py"
# The parent's own rtkit, by its place: with it nothing else that lies there gets on the path.
_START = """
import importlib.util, runpy, sys
spec = importlib.util.spec_from_file_location("rtkit", sys.argv.pop(1))
package = sys.modules["rtkit"] = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
"""


def child_command(module: str, *arguments: str) -> list[str]:
    """What ``python -m MODULE ARGUMENTS`` does, with this rtkit and no other file that is near."""
    return [sys.executable, "-P", "-c", _START, str(_PACKAGE), module, *arguments]


def child_environment() -> dict[str, str]:
    """This process's, without the working directory among the paths of PYTHONPATH."""
    environment = dict(os.environ)
    paths = os.pathsep.join(_elsewhere(environment.pop("PYTHONPATH", "")))
    return {**environment, "PYTHONPATH": paths} if paths else environment


def _elsewhere(paths: str) -> Iterator[str]:
    """Of these, what is not the working directory, as an empty one is, too."""
    here = Path.cwd()
    return (path for path in paths.split(os.pathsep) if path and Path(path).resolve() != here)
