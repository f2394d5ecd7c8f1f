"""The sessions saved in a folder: what their files say, and whether they are valid."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.naming import said, service_of, when
from rtkit.boundary.text import clean
from rtkit.recording import load_session, read_opening
from rtkit.session import Session

__all__ = ["SavedFile", "as_lines", "saved_files"]

BEGINNING = 1 << 18  # characters in which a session that sent anything shows its first chunk
LARGEST = 1 << 25  # bytes of a file that is read whole only when it is asked for
GAP = "\N{NO-BREAK SPACE}" * 2


@dataclass(frozen=True, slots=True)
class SavedFile:
    """A session's file, in one state; `opening` is None if it is not rtkit's."""

    path: Path
    changed: int
    size: int
    opening: Session | None

    @property
    def name(self) -> str:
        """What a person called it; empty for a name that the panel made."""
        stem = self.path.stem
        if self.opening is None:
            return clean(stem)
        asked = self.opening.settings
        given = f"{Path(asked.recording).stem}_{asked.chunk * 1000:g}ms_{asked.pacing}"
        return "" if given in stem or stem.startswith(asked.pacing) else clean(stem)

    @property
    def key(self) -> tuple[Path, int, int]:
        return self.path, self.changed, self.size

    def cells(self, verdict: str) -> tuple[str, ...]:
        """When, recording, service, chunk, pacing, how good it is, and its name."""
        if self.opening is None:
            return ("", self.name, "", "", "", "not a session", "")
        asked = self.opening.settings
        return (
            when(self.opening),
            clean(asked.recording),
            service_of(self.opening),
            f"{asked.chunk * 1000:g} ms",
            said(asked.pacing),
            verdict,
            self.name,
        )

    def judge(self) -> str:
        """Whether it is valid, which is seen in the whole file; empty for a very large one."""
        if self.opening is None or self.size > LARGEST:
            return ""
        try:
            found = validity(load_session(self.path))
        except (OSError, ValueError):
            return "damaged"
        names = ", ".join(dict.fromkeys(problem.name for problem in found.problems))
        return f"not valid: {names}" if names else "valid"


def saved_files(folder: Path, *, most: int) -> list[SavedFile]:
    """The newest sessions in the folder and in the folders in it (`rtkit.compare` makes some).

    One that never sent anything is left out.
    """
    states = []
    for path in (*folder.glob("*.jsonl"), *folder.glob("*/*.jsonl")):
        with contextlib.suppress(OSError):  # it was there a moment ago
            # Not a notebook's checkpoints, and nothing that opening it would wait for.
            if not path.parent.name.startswith(".") and path.is_file():
                states.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    files: list[SavedFile] = []
    for changed, size, path in sorted(states, reverse=True):
        opening, sent = _read(path, changed, size)
        if sent:
            files.append(SavedFile(path, changed, size, opening))
        if len(files) == most:
            break
    return files


@lru_cache(maxsize=4096)
def _read(path: Path, changed: int, size: int) -> tuple[Session | None, bool]:
    """What its first line says, and whether something was sent."""
    try:
        opening = read_opening(path)
        with path.open(encoding="utf-8") as file:
            file.readline()
            return opening, '"kind": "chunk"' in file.read(BEGINNING)
    except (OSError, ValueError):
        return None, True


def as_lines(
    files: Iterable[SavedFile], verdicts: Mapping[tuple[Path, int, int], str]
) -> list[str]:
    """One line per file, in columns; empty columns are left out."""
    rows = [file.cells(verdicts.get(file.key, "")) for file in files]
    columns = [column for column in zip(*rows, strict=True) if any(column)]
    widths = [max(map(len, column)) for column in columns]
    return [
        GAP.join(
            cell.ljust(width).replace(" ", "\N{NO-BREAK SPACE}")
            for cell, width in zip(cells, widths, strict=True)
        ).rstrip()
        for cells in zip(*columns, strict=True)
    ]
