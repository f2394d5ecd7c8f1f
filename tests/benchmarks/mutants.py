"""Would the tests notice? Changes a module a little, time and again, and runs its tests.

    python tests/benchmarks/mutants.py bootstrap pooling [--count 50] [--seed 1] [--only 12 40]

Each mutant differs from the module in one place: an operator, a comparison, a condition, a number,
a function that has an opposite, a call or an error that is left out. Of all there are, `--count`
are drawn. Left out from the start is what nobody can tell apart: types, `strict=`, and the wording
of messages (their values are not). A mutant that no test fails is printed with its line, to be
judged: those that a person found to make the same results another way stand in
`equivalent_mutants.txt`, each with the reason, and are neither run nor counted. The tests are those
of the module's name, and those of its folder that use it; `--tests` names others.

Nothing in the source tree is changed: mutants live in a copy.
"""

from __future__ import annotations

import argparse
import ast
import math
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import matplotlib.pyplot  # noqa: F401
import pandas  # noqa: F401
import pytest
from ratios import ratio

ROOT = Path(__file__).resolve().parents[2]
JUDGED = Path(__file__).with_name("equivalent_mutants.txt")
AIM = 0.03  # survivors, of what matters
OPPOSITES: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Div,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.USub: ast.UAdd,
    ast.Break: ast.Continue,
    ast.Continue: ast.Break,
}
NAMES = {
    "min": "max", "max": "min", "any": "all", "all": "any", "floor": "ceil", "ceil": "floor",
    "minimum": "maximum", "maximum": "minimum", "sin": "cos", "cos": "sin",
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """One change: the `number`th of the module's, and the line of code in which it begins."""

    number: int
    line: int
    code: str
    what: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """All changes of a module, in its order."""
    tree, lines = ast.parse(source), source.splitlines()
    for number, change in enumerate(_changes(tree)):
        what = f"{ast.unparse(change.node)}  ->  {change.after}"
        undo = change.make()
        line = change.node.lineno
        code = lines[line - 1].partition("  #")[0].strip()
        yield Mutant(number, line, code, what, ast.unparse(tree))
        undo()


@dataclass(frozen=True)
class Change:
    """A place in the tree: what stands in `holder` under `name`, and at `index` of a list."""

    node: ast.expr | ast.stmt
    holder: ast.AST
    name: str
    index: int | None
    new: object

    def make(self) -> Callable[[], object]:
        """Put the new one there; what comes back puts the old one back."""
        return partial(self._put, self._put(self.new))

    def _put(self, new: object) -> object:
        there = getattr(self.holder, self.name)
        if self.index is None:
            setattr(self.holder, self.name, new)
            return there
        old, there[self.index] = there[self.index], new
        return old

    @property
    def after(self) -> str:
        if self.holder is not self.node:
            assert isinstance(self.new, ast.AST)
            return ast.unparse(self.new)
        undo = self.make()
        text = ast.unparse(self.node)
        undo()
        return text


def _changes(tree: ast.AST) -> Iterator[Change]:
    for holder, name, index, node in _places(tree):
        own = Change(node, node, "", None, None)
        if isinstance(node, ast.BinOp | ast.AugAssign | ast.BoolOp | ast.UnaryOp):
            if type(node.op) in OPPOSITES:
                yield replace(own, name="op", new=OPPOSITES[type(node.op)]())
            elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
                yield Change(node, holder, name, index, node.operand)
        elif isinstance(node, ast.Compare):
            for i, operator in enumerate(node.ops):
                yield replace(own, name="ops", index=i, new=OPPOSITES[type(operator)]())
        elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
            yield replace(own, name="value", new=not node.value)
        elif isinstance(node, ast.Constant) and isinstance(node.value, int | float):
            near = isinstance(node.value, int) and node.value < 100  # one more of 1000 is no fault
            more = node.value + 1 if near else node.value * 2 or 1.0
            yield replace(own, name="value", new=more)
        elif isinstance(node, ast.If | ast.While | ast.IfExp):
            # Shown is the condition, not all that hangs on it.
            no = ast.UnaryOp(ast.Not(), node.test)
            yield Change(node.test, node, "test", None, no)
        elif isinstance(node, ast.Name) and node.id in NAMES:
            yield replace(own, name="id", new=NAMES[node.id])
        elif isinstance(node, ast.Attribute) and node.attr in NAMES:
            yield replace(own, name="attr", new=NAMES[node.attr])
        elif isinstance(node, ast.Break | ast.Continue):
            yield Change(node, holder, name, index, OPPOSITES[type(node)]())
        elif isinstance(node, ast.Raise) or (
            isinstance(node, ast.Expr) and isinstance(node.value, ast.Call | ast.YieldFrom)
        ):
            yield Change(node, holder, name, index, ast.Pass())


def _places(
    holder: ast.AST,
) -> Iterator[tuple[ast.AST, str, int | None, ast.expr | ast.stmt]]:
    """Every statement and expression that is computed with, and where it stands."""
    for name, value in ast.iter_fields(holder):
        if name in ("annotation", "returns", "decorator_list", "format_spec"):
            continue
        for index, node in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if isinstance(node, ast.Import | ast.ImportFrom) or _changes_nothing(node):
                continue
            if isinstance(node, ast.expr | ast.stmt):
                yield holder, name, index, node
            if isinstance(node, ast.AST):
                yield from _places(node)


def _changes_nothing(node: object) -> bool:
    """What is for type checkers, and what only guards against a mistake in the code itself."""
    if isinstance(node, ast.keyword):
        return node.arg == "strict"
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


# Running the tests.


def find(name: str) -> Path:
    """The module of a name: ``bootstrap``, or ``timing/latency`` where there are several."""
    found = sorted((ROOT / "rtkit").rglob(f"{name.removesuffix('.py')}.py"))
    if len(found) != 1:
        there = ", ".join(str(path.relative_to(ROOT)) for path in found) or "none"
        raise SystemExit(f"modules named {name!r}: {there}; give one, with its folder")
    return found[0].relative_to(ROOT)


def tests_of(module: Path) -> list[str]:
    """The test of the module's name, those of its folder that use it, and of modules that do."""
    folder = ROOT.joinpath("tests", *module.parts[1:-1])
    dotted = ".".join(module.with_suffix("").parts)
    face = (ROOT / "rtkit" / "__init__.pyi").read_text(encoding="utf-8")
    public = re.findall(rf"from {dotted.removeprefix('rtkit')} import (\w+)", face)
    uses = re.compile("|".join([rf"\b{dotted}\b", *(rf'[".]{name}\b' for name in public)]))
    tests = [one for one in sorted(folder.glob("test_*.py")) if uses.search(one.read_text())]
    users = [one for one in (ROOT / module).parent.glob("*.py") if uses.search(one.read_text())]
    named = [folder / f"test_{one.name}" for one in (module, *sorted(users))]
    found = dict.fromkeys([*named[:1], *tests, *named[1:]])
    return [str(path.relative_to(ROOT)) for path in found if path.exists()]


def judged_equivalent(module: Path) -> dict[tuple[str, str], str]:
    """Why a change makes no difference, by the line of code and what is changed in it."""
    found = {}
    for line in JUDGED.read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("#"):
            name, code, what, reason = line.split(" || ")
            if name == _short(module):
                found[code, what] = reason
    return found


def _short(module: Path) -> str:
    return f"{module.parent.name}/{module.stem}"


@dataclass(frozen=True)
class Copy:
    """A copy of the package, which the tests find before the one in the source tree."""

    folder: Path
    tests: Sequence[str]

    def fails(self, timeout: float = 0) -> bool:
        """Whether a test fails: most often it is one of the first file, so it is run alone."""
        parts = self.tests[:1], self.tests[1:]
        return any(self._fails(tests, timeout) for tests in parts if tests)

    def _fails(self, tests: Sequence[str], timeout: float) -> bool:
        """Or takes too long: in a fork, which has imported the libraries."""
        child = os.fork()
        if not child:
            os.chdir(ROOT)
            with (self.folder / "output").open("w") as output:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
            os.environ["PYTHONPATH"] = sys.path[0] = str(self.folder)  # in place of this folder
            sys.dont_write_bytecode = True  # of a change it would outlive
            signal.alarm(math.ceil(timeout))
            os._exit(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        # Passed, failed, a module that cannot be imported, and one that takes too long.
        if code not in (0, 1, 2, -signal.SIGALRM):
            shown = (self.folder / "output").read_text(encoding="utf-8")[-2000:]
            raise SystemExit(f"pytest ended with status {code}:\n{shown}")
        return code != 0


def judge(module: Path, tests: Sequence[str], count: int, seed: int, only: Sequence[int]) -> None:
    source, name = (ROOT / module).read_text(encoding="utf-8"), _short(module)
    equivalent = judged_equivalent(module)
    everything = list(mutants(source))
    chosen = random.Random(seed).sample(everything, min(count, len(everything)))
    if only:
        chosen = [everything[number] for number in only]
    matter = [one for one in chosen if (one.code, one.what) not in equivalent]
    print(f"{module}: {len(chosen)} of {len(everything)} mutants; {' '.join(tests)}", flush=True)
    survivors = []
    with tempfile.TemporaryDirectory() as folder:
        copy = Copy(Path(folder), tests)
        hidden = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / "rtkit", copy.folder / "rtkit", ignore=hidden)
        (copy.folder / "data").symlink_to(ROOT / "data")
        began = time.monotonic()
        if copy.fails():
            raise SystemExit("the tests fail on the module as it is")
        timeout = 5 * (time.monotonic() - began) + 10
        for done, mutant in enumerate(sorted(matter, key=lambda one: one.number), start=1):
            (copy.folder / module).write_text(mutant.source, encoding="utf-8")
            killed = copy.fails(timeout)
            survivors += [] if killed else [mutant]
            verdict = "killed  " if killed else "SURVIVED"
            place = f"{module.name}:{mutant.line}"
            print(f"{done:4} {verdict} #{mutant.number} {place}: {mutant.what[:200]}", flush=True)
    print(
        f"\n{name}: {len(matter) - len(survivors)} killed, {len(survivors)} survived, "
        f"{len(chosen) - len(matter)} judged equivalent and left out."
    )
    ratio(f"survivors of {name} / mutants", len(survivors) / max(len(matter), 1), AIM)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("modules", nargs="*", default=["bootstrap"], help="such as bootstrap")
    parser.add_argument("--count", type=int, default=50, help="mutants of each module")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", type=int, nargs="+", default=[], help="mutants by number")
    parser.add_argument("--tests", nargs="+", help="files of tests, in place of the module's")
    options = parser.parse_args()
    for name in options.modules:
        module = find(name)
        tests = options.tests or tests_of(module)
        judge(module, tests, options.count, options.seed, options.only)


if __name__ == "__main__":
    main()
