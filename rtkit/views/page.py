"""A comparison as one page that needs no server and no network: for a colleague, or for later.

Everything is in the file, figures too. It holds settings, figures and the sender's host; of what
was said it holds nothing, and of keys neither.
"""

from __future__ import annotations

import base64
import html
import io
import json
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import fields, replace
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.style
from matplotlib.artist import Artist
from matplotlib.figure import Figure

from rtkit.analysis.latency import heard_words
from rtkit.analysis.naming import Sessions, named
from rtkit.analysis.summary import summarize
from rtkit.analysis.validity import validity
from rtkit.services.endpoint import is_secret
from rtkit.session import Session
from rtkit.views.plots import (
    describe,
    plot_lateness,
    plot_lateness_distribution,
    plot_rescored,
    plot_timeline,
    plot_turn_latency,
)

__all__ = ["report"]

FIGURES: tuple[tuple[Callable[..., list[Artist]], float, str], ...] = (
    (
        plot_lateness,
        3.6,
        "When each chunk left, minus when it was due. A line that climbs is a sender that loses "
        "time with every chunk; a flat one keeps pace, and its spikes are chunks that were held "
        "up. All of it is the sender's, none the service's.",
    ),
    (
        plot_lateness_distribution,
        3.4,
        "Which share of the chunks left no later than so many milliseconds: the further left and "
        "the steeper, the more punctual the sender.",
    ),
    (
        plot_turn_latency,
        4.2,
        "How long a person waits from the end of a turn to its final, in parts that add up: for "
        "the chunk to be full, for the silence that ends the turn, for a late sender (hatched), "
        "and for the service.",
    ),
    (
        plot_timeline,
        4.2,
        "A grey bar spans a turn as it was spoken; the line goes on to the diamond at which its "
        "final came back, and small ticks are its words. The longer the line, the longer the "
        "wait.",
    ),
    (
        plot_rescored,
        5.0,
        "The same sessions under the definitions of latency that others use. Where the bars of "
        "two sessions of one service differ, that definition counts the sender's lateness too.",
    ),
)

WORDS = {
    "due": "when a chunk ought to leave: when its last sample would have been spoken",
    "lateness": "when a chunk left, minus when it was due; the sender's own",
    "drift": "the trend of lateness, in ms per second of audio",
    "jitter": "the spread of lateness once the trend is taken out",
    "latency": "from the end of a word or turn to its answer: what a person waits",
    "chunk wait": "until the chunk that holds the end is due",
    "endpoint wait": "for the silence that tells the service that the turn is over",
    "service time": "from the sending of the audio that decided to the answer",
    "stall": "a stretch in which the sender's event loop was busy with something else",
}


def report(sessions: Sessions, path: str | Path, *, title: str | None = None) -> Path:
    """Write a page about sessions: are they valid, their figures, settings and hosts.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    path : str or Path
        The page's file, usually named ``*.html``; folders are made.
    title : str, optional
        The recordings' names without it.

    Returns
    -------
    Path
        Of the page. It opens from the disk, in light and dark, and prints.

    Raises
    ------
    ValueError
        If there are no sessions, or `path` is a folder.
    """
    by_name, path = named(sessions), Path(path)
    if not by_name:
        raise ValueError("a report needs at least one session, and there is none")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; name the page's file, {path / 'report.html'} say")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_page(by_name, title), encoding="utf-8")
    return path


def _page(sessions: Mapping[str, Session], title: str | None) -> str:
    recordings = dict.fromkeys(session.settings.recording for session in sessions.values())
    title = title or ", ".join(recordings)
    table = replace(summarize(sessions), notes=())
    return PAGE.format(
        title=_text(title),
        style=STYLE,
        described="<br>".join(map(_text, dict.fromkeys(map(describe, sessions.values())))),
        count="One session" if len(sessions) == 1 else f"{len(sessions)} sessions",
        verdicts="".join(_verdict(name, session) for name, session in sessions.items()),
        caveats=_list(_caveats(sessions)),
        figures="".join(_figure(sessions, *figure) for figure in FIGURES),
        summary=table._repr_html_(),
        settings=_side_by_side({name: _settings(one) for name, one in sessions.items()}),
        hosts=_side_by_side({name: dict(one.host) for name, one in sessions.items()}),
        words="".join(f"<dt>{_text(w)}</dt><dd>{_text(s)}</dd>" for w, s in WORDS.items()),
        made=_text(
            f"Made {datetime.now().astimezone().isoformat(' ', 'minutes')} by rtkit "
            f"{version('rtkit')}, matplotlib {matplotlib.__version__}, "
            f"Python {platform.python_version()}."
        ),
    )


def _text(value: object) -> str:
    return html.escape(str(value))


def _list(sentences: Iterable[str]) -> str:
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


def _caveats(sessions: Mapping[str, Session]) -> Iterator[str]:
    """The summary's notes, without the verdicts, which stand above them."""
    verdicts = tuple(f"{name} is not valid: " for name in sessions)
    return (note for note in summarize(sessions).notes if not note.startswith(verdicts))


def _figure(
    sessions: Mapping[str, Session],
    plot: Callable[..., list[Artist]],
    height: float,
    meaning: str,
) -> str:
    """A figure as an image within the page: as such no name in it can become part of the page."""
    if plot is plot_timeline:  # a lane needs some room
        turns = max(len({word.turn for word in heard_words(s)}) for s in sessions.values())
        height = min(max(height, 0.12 * turns * len(sessions)), 9)
    drawn = io.BytesIO()
    with matplotlib.style.context("default"):  # whatever the notebook's is
        matplotlib.rcParams["svg.hashsalt"] = plot.__name__
        figure = Figure(figsize=(9.6, height + 0.2 * len(sessions)), layout="constrained")
        plot(sessions, ax=figure.subplots())
        figure.savefig(drawn, format="svg", metadata={"Date": None})
    data = base64.b64encode(drawn.getvalue()).decode()
    return (
        f'<figure><img src="data:image/svg+xml;base64,{data}" alt="{_text(meaning)}">'
        f"<figcaption>{_text(meaning)}</figcaption></figure>"
    )


def _settings(session: Session) -> dict[str, object]:
    """What was asked for, in the order of `Settings`; nothing that sounds like a secret."""
    rows: dict[str, object] = {"started": session.started}
    for one in fields(session.settings):
        value = getattr(session.settings, one.name)
        rows |= _flat(one.name, value) if isinstance(value, Mapping) else {one.name: value}
    ending = session.ending
    rows["ending"] = "cut off" if ending is None else f"{ending.how} {ending.error}".strip()
    return rows


def _flat(name: str, values: Mapping[str, Any]) -> dict[str, object]:
    rows: dict[str, object] = {}
    for key, value in values.items():
        if is_secret(key):
            continue
        below = f"{name}: {key}"
        rows |= _flat(below, value) if isinstance(value, Mapping) else {below: value}
    return rows


UNITS = {
    "rate": " Hz",
    "samples": " samples",
    "first": " samples",
    **dict.fromkeys(("chunk", "work", "service: delay", "service: jitter"), " s"),
}


def _side_by_side(columns: Mapping[str, Mapping[str, object]]) -> str:
    """A table with a column a session; a value that all share stands once."""
    head = "".join(f"<th>{_text(name)}</th>" for name in columns)
    body = []
    for row in dict.fromkeys(row for column in columns.values() for row in column):
        cells = [_value(row, column.get(row)) for column in columns.values()]
        if len(set(cells)) == 1:
            values = f'<td colspan="{len(cells)}">{_text(cells[0])}</td>'
        else:
            values = "".join(f'<td class="own">{_text(cell)}</td>' for cell in cells)
        body.append(f"<tr><th>{_text(row.replace('_', ' '))}</th>{values}</tr>")
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"


def _value(row: str, value: object) -> str:
    if value is None or value == () or value == "":
        return "–"
    if isinstance(value, str):
        return value
    return (f"{value:g}" if isinstance(value, float) else json.dumps(value)) + UNITS.get(row, "")


STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1c2024; --faint: #60666d;
  --line: #dde1e5; --own: #fff6e0; --good: #1a7f4b; --bad: #b3261e; --link: #0b63a5; }
@media (prefers-color-scheme: dark) { :root { --paper: #15181b; --ink: #e4e7ea; --faint: #9aa2aa;
  --line: #333a41; --own: #3a3019; --good: #5ccb93; --bad: #ff8a80; --link: #7cc0f5; }
  figure img { filter: invert(0.915) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.5rem 3rem; max-width: 62rem; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 0.4rem; overflow-wrap: anywhere; }
h2 { font-size: 1.2rem; margin: 2.4rem 0 0.7rem; padding-top: 0.6rem;
  border-top: 1px solid var(--line); }
p, ul { margin: 0.4rem 0; } ul { padding-left: 1.3rem; }
.lede, footer, figcaption { color: var(--faint); } .lede { overflow-wrap: anywhere; }
.verdict { border-left: 4px solid; padding: 0.1rem 0 0.1rem 0.8rem; margin: 0.6rem 0; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.good .sign { color: var(--good); } .bad .sign { color: var(--bad); }
.sign { margin-left: 0.4rem; font-weight: 600; } em { font-style: normal; color: var(--faint); }
figure { margin: 1.4rem 0 2rem; } figure img { display: block; width: 100%; height: auto; }
figcaption { margin-top: 0.3rem; font-size: 0.92rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th, td { padding: 0.2rem 0.8rem; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; overflow-wrap: break-word; min-width: 5rem; }
tbody th, tbody td:first-child { min-width: 11rem; }
tbody th { font-weight: 500; color: var(--faint); padding-left: 0; }
td.own { background: var(--own); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.2rem 1.2rem; margin: 0; }
dt { font-weight: 600; } dd { margin: 0; }
footer { margin-top: 2.5rem; font-size: 0.85rem; }
@media print { @page { margin: 14mm; } :root { --paper: #fff; --ink: #000; --faint: #444;
  --line: #bbb; --own: #f3f3f3; --good: #1a7f4b; --bad: #b3261e; }
  body { padding: 0; max-width: none; font-size: 10.5pt; } figure img { filter: none; }
  .wide { overflow: visible; } h2 { break-after: avoid; }
  figure, tr, .verdict, dl { break-inside: avoid; } td.own { font-weight: 600; } }
"""

# The policy keeps the page from loading or running anything, whatever stands in it.
PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title} – rtkit</title>
<style>{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p class="lede">{count}. {described}</p>
</header>
<section>
<h2>May these figures be used?</h2>
{verdicts}{caveats}
</section>
<section>
<h2>The figures that matter</h2>
<div class="wide">{summary}</div>
</section>
<section>
<h2>What happened</h2>
{figures}
</section>
<section>
<h2>What was asked for</h2>
<div class="wide">{settings}</div>
</section>
<section>
<h2>Where it was measured</h2>
<div class="wide">{hosts}</div>
</section>
<section>
<h2>The words</h2>
<dl>{words}</dl>
</section>
<footer>{made}</footer>
</body>
</html>
"""
