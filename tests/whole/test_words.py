"""The names that were replaced are gone, in code, documents and notebooks."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from rtkit.boundary.text import counted
from rtkit.loopback import command

ROOT = Path(__file__).parents[2]
SUFFIXES = {".py", ".pyi", ".md", ".ipynb", ".toml", ".js", ".css", ".html"}
# What each was replaced by stands in the public names and in `--help`.
OLD = {
    "commit (a mistake on purpose)": r"rtkit\.commit|import commit\b|\bcommit\(",
    "misdeed and its kin": r"(?i)misdeed|misbehav|mischief|unruly",
    "closures()": r"rtkit\.closures\b|(?<![.\w])closures\(",
    "Crowd": r"\bCrowd\b",
    "ears": r"(?i)\b(slow)?ears\b|--ears|_ears\b",
    "Entrance, Journal, MemoryConnection": r"\b(Entrance|Journal|MemoryConnection)\b",
    "farewell": r"\bfarewell\b",
    "a_minute, per_minute": r"(?<!sessions_)\b(a_minute|per_minute|new_sessions)\b|--new-sessions",
    "at_once": r"\bat_once\b",
    "--longest, --sessions, --drain, --jitter": r"(?<!-)--(longest|sessions|drain|jitter)(?![\w-])",
    "longest=, drain=, jitter=": r"(?<![\w.])(longest|drain|jitter)=",
    "X_jitter": r"\b(network|work|wake|delay)_jitter\b",
    "watch=": r"(?<![\w.])watch=",
    "figure= (for a number)": r"(?<![\w.])figure: str",
    "British spelling": (
        r"(?i)\w*(summaris|normalis|recognis|colour|behaviour|neighbour|travelled|labelled)\w*"
    ),
    "fix and again under their old names": r"(?i)\b(cures?|mend(s|ed|ing)?|anew)\b",
    "errors that were rewritten": (
        r"draws nothing|do not part the|tells of no ending|means no session|told the key without"
        r"|a function stays|an? [\w ]+ cannot go to a process|takes them in\b|knows? no ending"
    ),
    "X is no Y, in a message": r"\} (is|are) no \w+",
    "what reads like a translation": (
        r"(?i)let down\b|in its stead|works? off a (queue|backlog)|how fast \w+ service drains"
        r"|at once at all|blocking door|met a fault|broke without a word|Hence rtkit"
    ),
    "the blocking door": r"(?i)_doors?(?=_|\b)|\bblocking doors?\b|_mend_",
    "answer for a result": r"(?i)\b(late|slow|its|an) answers?\b(?! to\b)|answers? (come|came) ",
    "titles that disagreed with what is shown": (
        r"(?i)three hours in a second\b|seven definitions|worst ten mistakes"
    ),
    "Service.endpoint()": r"(?<![\w])service\.endpoint\(",
    "the panel's old labels": r"Hear it|\"from, s\"|\"work, ms\"",
    "old module paths": (
        r"rtkit\.(streaming|running|protocol|endings|isolation|latency|definitions|faults|mistakes"
        r"|tables|frames|comparison|crowd|concurrency|simulation|calibration|sweeps|misdeeds|pooling"
        r"|accuracy|scores|transcripts|captions|words|trace|figures|plots|distributions|playback"
        r"|page|choosers|watching|waiting|marks|stalls|intervals|rate_intervals|websocket)\b"
    ),
}
ALLOWED = {
    "tests/whole/test_words.py": set(OLD),
    "tests/whole/test_sdk_openai.py": {"commit (a mistake on purpose)"},  # the client's own method
    "tests/whole/test_tapped_clients.py": {"commit (a mistake on purpose)"},
    "rtkit/widgets/fields.py": {"X is no Y, in a message"},
    "rtkit/widgets/recording_box.py": {"X is no Y, in a message"},
    # What old files say is read under today's names.
    "rtkit/recording.py": {"X_jitter", "misdeed and its kin"},
    "tests/test_session.py": {"X_jitter", "misdeed and its kin"},
}


def texts() -> Iterator[tuple[str, str]]:
    for folder in ("rtkit", "tests", "docs", "notebooks", "data", ""):
        paths = (ROOT / folder).rglob("*") if folder else ROOT.glob("*")
        for path in sorted(paths):
            if path.is_file() and path.suffix in SUFFIXES and "build" not in path.parts:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")


@pytest.mark.parametrize("old", OLD)
def test_no_old_name_remains(old: str) -> None:
    pattern = re.compile(OLD[old])
    found = [
        f"{name}:{text.count(chr(10), 0, match.start()) + 1}: {match.group()}"
        for name, text in texts()
        if old not in ALLOWED.get(name, ())
        for match in pattern.finditer(text)
    ]
    # The benchmarks have options, and words, of their own.
    assert [one for one in found if not one.startswith("tests/benchmarks/")] == []


def test_the_help_of_the_service_reads_as_other_commands_do() -> None:
    shown = command._parser().format_help()
    assert (
        re.findall(r"(?i)so many|(?<!no_)answer|\bhears?\b|again for more|may come in", shown) == []
    )


THINGS = (
    "(bytes|captions|channels|chunks|clips|errors|files|finals|frames|messages|others|partials"
    "|recordings|results|samples|segments|services|sessions|stalls|tracks|turns|units|values"
    "|word forms|words)"
)

SEVERAL = {"header.channels", "clip.channels", "len(values)", "len(names)", "len(sent)"}


def test_one_thing_is_written_in_the_singular() -> None:
    """Whatever is counted in a text goes through `counted`, or there are always several."""
    slips = []
    for path in sorted((ROOT / "rtkit").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                slips += [
                    f"{path.relative_to(ROOT)}:{number.lineno}: {ast.unparse(number)}"
                    for number, text in pairwise(node.values)
                    if isinstance(number, ast.FormattedValue)
                    and number.format_spec is None
                    and ast.unparse(number.value) not in SEVERAL
                    and isinstance(text, ast.Constant)
                    and re.match(rf" (more |saved )?{THINGS}\b", str(text.value))
                ]
    assert slips == []
    assert [counted(number, "turn") for number in range(3)] == ["0 turns", "1 turn", "2 turns"]
    assert counted(1, "box", "boxes") + counted(2, "box", "boxes") == "1 box2 boxes"
