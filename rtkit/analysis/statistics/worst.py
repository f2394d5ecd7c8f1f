"""The worst cases of many sessions, each with its parts and its place."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import numpy as np

from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.statistics.pooling import LATENCIES, counted_of, measure_of
from rtkit.boundary.values import check_numbers
from rtkit.recording import load_session
from rtkit.session import Session

__all__ = ["Worst", "worst_cases"]

_SAID = {
    "chunk_wait": "chunk wait",
    "endpoint_wait": "endpoint wait",
    "lateness": "lateness",
    "queue_wait": "queue wait",
    "confirmation": "confirmation",
    "service_time": "service time",
    "after_confirmation": "service time after confirmation",
    "since_sent": "endpoint wait + service time",
    "since_confirmed": "endpoint wait + service time after confirmation",
}
_RIGHT = 'style="text-align: right; padding: 2px 12px"'
_LEFT = 'style="text-align: left; padding: 2px 12px"'


@dataclass(frozen=True)
class Case:
    """One bad case: how long it took, where it is, and what made it so long. Seconds.

    `at` counts from the start of the recording, `parts` add up to `seconds`. Where the service does
    not say which audio decided, they are only known to within their `half_widths`.
    """

    recording: str
    session: str
    at: float
    text: str
    seconds: float
    parts: Mapping[str, float]
    file: Path | None = None
    half_widths: Mapping[str, float] = field(default_factory=dict)

    def part(self, name: str) -> str:
        """In ms, and how far that may lie from the truth."""
        if name not in self.parts:
            return ""
        unsure = self.half_widths.get(name, 0.0) * 1000
        width = f" ± {unsure:.0f}" if round(unsure) > 0 else ""
        return f"{self.parts[name] * 1000:.0f}{width}"


@dataclass(frozen=True)
class Worst:
    """The worst cases of each recording; prints as text, and folds out in a notebook."""

    of: str
    cases: Mapping[str, tuple[Case, ...]]

    def __getitem__(self, recording: str) -> tuple[Case, ...]:
        return self.cases[recording]

    def __str__(self) -> str:
        lines = []
        for recording, cases in self.cases.items():
            lines.append(recording)
            for case in cases:
                what = f" {case.text!r}" if case.text else ""
                parts = [f"{_SAID[name]} {case.part(name)}" for name in case.parts]
                lines.append(
                    f"  {case.seconds * 1000:6.0f} ms at {_clock(case.at)}{what}: "
                    f"{' + '.join(parts)} [{case.session}]"
                )
        return "\n".join(lines) or "No cases."

    def _repr_html_(self) -> str:
        return "".join(self._folded(*item) for item in self.cases.items()) or "<p>No cases.</p>"

    def _folded(self, recording: str, cases: Sequence[Case]) -> str:
        """One line per recording; a click shows its cases."""
        worst = cases[0]
        said = f", “{html.escape(worst.text)}”" if worst.text else ""
        names = [name for name in _SAID if any(name in case.parts for case in cases)]
        left = ("what", "session")
        columns = ["ms", "at", "what", *[_SAID[name] for name in names], "session"]
        head = "".join(f"<th {_LEFT if c in left else _RIGHT}>{c}</th>" for c in columns)
        return (
            f"<details><summary><b>{html.escape(recording)}</b>: at worst "
            f"{worst.seconds * 1000:.0f} ms, at {_clock(worst.at)}{said}</summary>"
            f"<table><thead><tr>{head}</tr></thead>"
            f"<tbody>{''.join(_row(case, names) for case in cases)}</tbody></table></details>"
        )


def worst_cases(
    sessions: Sessions | str | Path, of: str = "turn_latency", *, count: int = 5
) -> Worst:
    """Find the longest latencies of each recording: where they are, their parts, and their session.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them, or a folder or file
        If loaded from a folder or file, each case links to its session's file.
    of : {"word_latency", "turn_latency", "lateness"}
    count : int
        Number of cases per recording.

    Returns
    -------
    Worst
        In a notebook, one expandable line per recording, the worst first.

    Raises
    ------
    ValueError
        If `of` is unknown, `count` is below 1, or the folder contains no sessions.
    FileNotFoundError
        If the folder or file does not exist.
    """
    measure_of(of)
    check_numbers(unit="cases", count=count)
    if count < 1:
        raise ValueError(f"count={count} is too small; give 1 or more")
    files: Mapping[str, Path] = {}
    if isinstance(sessions, str | Path):
        sessions, files = _loaded(Path(sessions))
    by_name = named(sessions)
    cases: dict[str, list[Case]] = {}
    for name, session in by_name.items():
        found = _cases(name, session, of, files.get(name))
        longest = sorted(found, key=lambda case: -case.seconds)[:count]
        cases.setdefault(session.settings.recording, []).extend(longest)
    ranked = {
        recording: tuple(sorted(longest, key=lambda case: -case.seconds)[:count])
        for recording, longest in cases.items()
        if longest
    }
    return Worst(of, dict(sorted(ranked.items(), key=lambda item: -item[1][0].seconds)))


def _loaded(path: Path) -> tuple[dict[str, Session], dict[str, Path]]:
    """The sessions of a folder or of a file, and the file of each."""
    if not path.exists():
        raise FileNotFoundError(
            f"No such file or folder: {path}. Give one in which sessions were recorded, with "
            "rtkit.sweep(clips, folder='FOLDER') or rtkit.stream(clip, record='FOLDER/NAME.jsonl')"
        )
    if path.is_file():
        return {path.stem: load_session(path)}, {path.stem: path}
    sessions = load_session(path)
    return sessions, {name: path / f"{name}.jsonl" for name in sessions}


def _cases(name: str, session: Session, of: str, file: Path | None) -> Iterable[Case]:
    settings = session.settings
    first = settings.start
    if of == "lateness":
        for chunk, late in zip(session.chunks, session.lateness.tolist(), strict=True):
            at = first + chunk.start / settings.rate
            yield Case(settings.recording, name, at, "", late, {"lateness": late}, file)
        return
    latency = LATENCIES[of](session)
    of_each = latency.parts
    for i in np.flatnonzero(counted_of(session, of)).tolist():
        known = ((part, float(values[i])) for part, values in of_each.items())
        parts = {part: value for part, value in known if not math.isnan(value)}
        if not parts["queue_wait"]:  # mostly there is none
            del parts["queue_wait"]
        seconds, at = float(latency.latency[i]), first + float(latency.end[i])
        unsure = {part: float(latency.half_widths(part)[i]) for part in parts}
        yield Case(settings.recording, name, at, latency.texts[i], seconds, parts, file, unsure)


def _row(case: Case, names: Sequence[str]) -> str:
    session = html.escape(case.session)
    if case.file is not None:
        session = f'<a href="{quote(Path(os.path.relpath(case.file)).as_posix())}">{session}</a>'
    parts = [case.part(name) for name in names]
    text = case.text if len(case.text) <= 60 else f"… {case.text[-58:]}"
    figures = [f"{case.seconds * 1000:.0f}", _clock(case.at)]
    cells = [(_RIGHT, cell) for cell in figures] + [(_LEFT, html.escape(text))]
    cells += [*[(_RIGHT, cell) for cell in parts], (_LEFT, session)]
    return f"<tr>{''.join(f'<td {side}>{cell}</td>' for side, cell in cells)}</tr>"


def _clock(seconds: float) -> str:
    """Where in a recording, as players show it."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{minutes:.0f}:{rest:04.1f}"
