"""A report as one self-contained HTML page, to share or keep.

The file contains everything: settings, figures, the sender's host, the transcript (unless it is
left out), and the sound if a clip is passed. It never contains a key.
"""

from __future__ import annotations

import html
import json
import platform
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.artist import Artist

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.summary import notes, summarize
from rtkit.analysis.timing.turns import heard_words
from rtkit.audio import Clip
from rtkit.boundary.files import replacing
from rtkit.boundary.text import counted
from rtkit.markup import Table
from rtkit.services.service import public_part
from rtkit.session import Session
from rtkit.views.distributions import plot_lateness_distribution
from rtkit.views.glossary import FORMULAS, GLOSSARY
from rtkit.views.interactive import SCRIPT, timeline
from rtkit.views.page import page, picture, wide
from rtkit.views.plots import described, plot_lateness, plot_rescored
from rtkit.views.timeline import plot_timeline
from rtkit.views.transcript import show_transcript
from rtkit.views.turn_bars import plot_turn_latency

__all__ = ["report"]

CHUNKS = 20_000  # from which on the timeline would be most of the page

FIGURES: tuple[tuple[Callable[..., list[Artist]], float, str], ...] = (
    (
        plot_lateness,
        3.6,
        "When each chunk was sent, minus when it was due. A line that climbs is a sender that "
        "loses time on every chunk. A flat one is on schedule, and its spikes are chunks that "
        "were held up. All of it is caused by the sender.",
    ),
    (
        plot_lateness_distribution,
        3.4,
        "The share of chunks that were sent no later than a given number of milliseconds. "
        "Further left and steeper is more punctual.",
    ),
    (
        plot_turn_latency,
        4.2,
        "How long a person waits from the end of a turn to its final result, in parts that "
        "add up: for the chunk to be full, for the silence that ends the turn, for a late "
        "sender (hatched), and for the service. The color below a bar is its session's; "
        "outlined bars are not counted.",
    ),
    (
        plot_timeline,
        4.2,
        "A box is a turn as it was spoken, the diamond is its final result, and small ticks "
        "are its words. The longer the line from box to diamond, the longer the wait.",
    ),
    (
        plot_rescored,
        7.5,
        "The same sessions under the definitions of latency that others use. If the bars of "
        "two sessions of one service differ, that definition includes the sender's lateness.",
    ),
)


def report(
    sessions: Sessions,
    path: str | Path,
    *,
    clip: Clip | None = None,
    title: str | None = None,
    transcript: bool = True,
) -> Path:
    """Write an HTML page about sessions: validity, figures, words, settings and hosts.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    path : str or Path
        The page's file, usually named ``*.html``; folders are created.
    clip : Clip, optional
        The recording, to play on the page: about 3 KB per second.
    title : str, optional
        By default, the names of the recordings.
    transcript : bool
        Whether the page contains what was recognized: the words, and the timeline with them.

    Returns
    -------
    Path
        The page. It opens from disk, light or dark, and can be printed.

    Raises
    ------
    ValueError
        If there are no sessions, `path` is a folder, or the clip is too long or of another
        recording.
    """
    by_name, path = named(sessions), Path(path)
    if not by_name:
        raise ValueError("a report needs at least one session")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file, such as {path / 'report.html'}")
    text = _page(by_name, title, clip, transcript)
    with replacing(path) as aside:
        aside.write_text(text, encoding="utf-8")
    return path


def _page(
    sessions: Mapping[str, Session], title: str | None, clip: Clip | None, transcript: bool
) -> str:
    recordings = dict.fromkeys(session.settings.recording for session in sessions.values())
    streamed = "<br>".join(map(_text, described(sessions)))
    count = counted(len(sessions), "session")
    verdicts = "".join(_verdict(name, session) for name, session in sessions.items())
    silent = "<p>The sound is left out, because it holds the words.</p>" if clip else ""
    caveats = _list(note for note in notes(sessions) if note.kind != "not valid")
    return page(
        title or ", ".join(recordings),
        lede=f'<p class="lede">{count}, {_dates(sessions)}. {streamed}</p>',
        sections={
            "Can these results be used?": verdicts + caveats,
            "The main results": wide(replace(summarize(sessions), notes=())),
            "Why it took so long": _explained(sessions, clip) if transcript else silent,
            "What happened": "".join(_figure(sessions, *figure) for figure in FIGURES),
            "What was heard": _heard(sessions) if transcript else "",
            "Settings": _side_by_side({name: _settings(one) for name, one in sessions.items()}),
            "Host": _side_by_side({name: dict(one.host) for name, one in sessions.items()}),
            "The words": _definitions(GLOSSARY),
            "The formulas": _definitions(FORMULAS),
        },
        made=(
            f"Made {datetime.now().astimezone().isoformat(' ', 'minutes')} by rtkit "
            f"{version('rtkit')}, matplotlib {matplotlib.__version__}, "
            f"Python {platform.python_version()}."
        ),
        scripts=[SCRIPT],
    )


def _dates(sessions: Mapping[str, Session]) -> str:
    """The days on which it was measured."""
    days = sorted({session.started[:10] for session in sessions.values()})
    return _text(days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}")


def _explained(sessions: Mapping[str, Session], clip: Clip | None) -> str:
    """The interactive timeline, where the page stays small; what is left out is said."""
    if sum(len(session.chunks) for session in sessions.values()) > CHUNKS:
        return (
            f"<p>The timeline{' and the sound are' if clip else ' is'} too long for this page; use "
            f"<code>rtkit.timeline(session{', clip=clip' if clip else ''})</code>.</p>"
        )
    return timeline(sessions, clip=clip).html


def _heard(sessions: Mapping[str, Session]) -> str:
    """What the service settled on, tinted by latency."""
    return "".join(
        f"<h3>{_text(name)}</h3>{show_transcript(session)._repr_html_()}"
        for name, session in sessions.items()
    )


def _definitions(told: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_text(word)}</dt><dd>{_text(is_)}</dd>" for word, is_ in told.items())
    return f"<dl>{rows}</dl>"


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(sentences: Iterable[object]) -> str:
    items = "".join(f"<li>{_text(sentence)}</li>" for sentence in sentences)
    return f"<ul>{items}</ul>" if items else ""


def _verdict(name: str, session: Session) -> str:
    found = validity(session)
    sign, word = ("good", "valid") if found else ("bad", "not valid")
    reasons = "".join(
        f"<li>{_text(problem.found)}. <em>{_text(problem.fix)}</em></li>"
        for problem in found.problems
    )
    return (
        f'<div class="verdict {sign}"><b>{_text(name)}</b> <span class="sign">{word}</span>'
        f"{f'<ul>{reasons}</ul>' if reasons else ''}</div>"
    )


def _figure(
    sessions: Mapping[str, Session],
    plot: Callable[..., list[Artist]],
    height: float,
    meaning: str,
) -> str:
    if plot is plot_timeline:  # a lane needs some room
        turns = max(len({word.turn for word in heard_words(s)}) for s in sessions.values())
        height = min(max(height, 0.12 * turns * len(sessions)), 9)
    return picture(
        lambda figure: plot(sessions, ax=figure.subplots()),
        height=height + 0.2 * len(sessions),
        name=plot.__name__,
        meaning=meaning,
    )


def _settings(session: Session) -> dict[str, object]:
    """Settings, in the order of `Settings`; nothing that sounds like a secret."""
    rows: dict[str, object] = {"started": session.started}
    for one in fields(session.settings):
        value = getattr(session.settings, one.name)
        if one.name == "service":
            value = public_part(value)
        rows |= _flat(one.name, value) if isinstance(value, Mapping) else {one.name: value}
    ending = session.ending
    rows["ending"] = "cut off" if ending is None else f"{ending.how} {ending.error}".strip()
    return rows


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in values.items():
        below = f"{name}: {key}"
        rows |= _flat(below, value) if isinstance(value, Mapping) else {below: value}
    return rows


UNITS = {
    "rate": " Hz",
    "samples": " samples",
    "first": " samples",
    "total": " samples",
    **dict.fromkeys(("chunk", "work", "service: delay", "service: delay_spread"), " s"),
}


def _side_by_side(columns: Mapping[str, Mapping[str, object]]) -> str:
    """A table with a column a session; a value that all share stands once."""
    rows: list[tuple[str, tuple[str, ...], str]] = []
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        cells = tuple(_value(row, column.get(row)) for column in columns.values())
        rows.append((row.replace("_", " "), cells[: 1 if len({*cells}) == 1 else None], ""))
    return f'<div class="asked">{wide(Table(tuple(columns), tuple(rows)))}</div>'


def _value(row: str, value: object) -> str:
    if value is None or value == () or value == "":
        return "–"
    if isinstance(value, str):
        return value
    return (f"{value:g}" if isinstance(value, float) else json.dumps(value)) + UNITS.get(row, "")
