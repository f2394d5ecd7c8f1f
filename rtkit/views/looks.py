"""What all figures share: styles of sessions, titles with warnings, legends below.

Text and background colors are matplotlib's settings, so a dark style makes dark figures.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import matplotlib
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.font_manager import FontProperties
from matplotlib.offsetbox import AnchoredText
from matplotlib.ticker import MultipleLocator
from matplotlib.transforms import ScaledTranslation

from rtkit.analysis.checks.validity import validity
from rtkit.analysis.naming import Sessions, named, said
from rtkit.boundary.text import counted
from rtkit.session import Session, Stall
from rtkit.views.colors import looks_for

__all__ = [
    "OFF",
    "ink",
    "legend_below",
    "listed",
    "long_stalls",
    "looks_of",
    "outline",
    "paper",
    "say_instead",
    "setting_the_axis",
    "time_below",
    "titled",
]

RED = "#D32F2F"  # legible on white and on black
OFF = "(off the axis)"
NOTE = 64  # letters of the note above a figure
WIDE = 70  # letters of a legend's line, and of a note's above it
LONG_STALL = 0.5  # of a chunk; shorter ones are made up for at once
MINUTES = 600  # seconds from which an axis is in minutes
STEPS = (120, 300, 600, 1200, 1800, 3600, 7200, 14400, 21600, 43200)
MOST = 20  # stalls of a session that are marked


def ink(strength: float = 1.0) -> tuple[Any, float]:
    """The color of text, as strong as is wanted."""
    return matplotlib.rcParams["text.color"], strength


def paper() -> Any:
    """The color behind."""
    return matplotlib.rcParams["axes.facecolor"]


def outline(color: str) -> tuple[float, float, float]:
    """A filling's color as a line, which has to stand out from the paper."""
    inked = zip(to_rgb(color), to_rgb(matplotlib.rcParams["text.color"]), strict=True)
    red, green, blue = (0.6 * own + 0.4 * text for own, text in inked)
    return red, green, blue


def looks_of(sessions: Sessions) -> list[Mapping[str, Any]]:
    """A color and a line style for each session."""
    pacings = [session.settings.pacing for session in named(sessions).values()]
    return [look._asdict() for look in looks_for(pacings)]


def setting_the_axis(sessions: Mapping[str, Session]) -> set[str]:
    """The sessions that an axis has to hold: unpaced ones only where there are no others.

    What was not paced is early by the length of the recording, beside which the others are flat.
    """
    paced = {name for name, one in sessions.items() if one.settings.pacing != "unpaced"}
    return paced or set(sessions)


def long_stalls(session: Session) -> list[Stall]:
    """The longest stalls of the loop, of those that last for more than half a chunk."""
    found = [one for one in session.stalls if one.seconds > LONG_STALL * session.settings.chunk]
    return sorted(found, key=lambda stall: -stall.seconds)[:MOST]


def listed(names: Iterable[str]) -> str:
    """Names in a row; `wrapped` breaks none of them over two lines that fits on one."""
    return " | ".join(
        name if len(name) > WIDE / 2 else name.replace(" ", "\N{NO-BREAK SPACE}")
        for name in map(said, names)
    )


def wrapped(text: str, width: int = WIDE) -> str:
    """A text on lines that a figure has room for; a long one would squeeze the axes."""
    return "\n".join(textwrap.fill(line, width) for line in text.split("\n"))


def legend_below(ax: Axes, artists: Sequence[Artist], *, title: str = "", columns: int = 1) -> None:
    """A legend under the axis's label, at a distance that does not depend on the axes' height."""
    if not artists:
        return
    labels = [wrapped(str(artist.get_label()), WIDE // columns) for artist in artists]
    below = ax.transAxes + ScaledTranslation(0, -0.52, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles=list(artists),
        labels=labels,
        title=wrapped(title),
        loc="upper left",
        bbox_to_anchor=(0, 0),
        bbox_transform=below,
        borderaxespad=0,
        borderpad=0,
        ncols=columns,
        frameon=False,
        fontsize="small",
        title_fontsize="small",
        alignment="left",
        columnspacing=1.2,
    )
    for text in (legend.get_title(), *legend.get_texts()):
        text.set_parse_math(False)  # a session may be named after a file with a $ in its name


def time_below(ax: Axes, what: str) -> None:
    """Label the axis below, which holds seconds: in minutes or hours if it is long."""
    last = ax.get_xlim()[1]
    if last < MINUTES:
        ax.set_xlabel(f"{what}, s")
        return
    step = next((step for step in STEPS if last / step <= 8), 86400 * math.ceil(last / 8 / 86400))
    part, form = (60, "h:mm") if last >= 3600 else (1, "m:ss")
    ax.set_xlabel(f"{what}, {form}")
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.xaxis.set_major_formatter(
        lambda seconds, _: f"{seconds // part // 60:.0f}:{seconds // part % 60:02.0f}"
    )


def say_instead(ax: Axes, sentence: str) -> None:
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", color=ink(0.6))
    ax.set_xticks([])
    ax.set_yticks([])


def titled(ax: Axes, title: str, x: str, y: str, sessions: Mapping[str, Session]) -> None:
    """Set the title and, above it, warnings about sessions.

    They are not valid; or their chunks were due before they had been spoken, so that every latency
    is a chunk better than live audio can have.
    """
    ax.set_title(title, fontsize="medium", loc="left", fontweight="bold", parse_math=False)
    wrong = [
        f"{said(name)} ({', '.join(dict.fromkeys(problem.name for problem in found.problems))})"
        for name, session in sessions.items()
        if not (found := validity(session))
    ]
    ahead = [said(name) for name, one in sessions.items() if one.settings.phase == "start"]
    notes = []
    for what, whose in (("not valid", wrong), ("phase 'start', latency a chunk too good", ahead)):
        if whose:
            note = f"{what}: {', '.join(whose)}"
            fits = len(note) <= NOTE
            notes.append(
                note if fits else f"{what}: {len(whose)} of {counted(len(sessions), 'session')}"
            )
    if notes:
        line = 1.75 * FontProperties(size="medium").get_size_in_points() / 72
        above = AnchoredText(
            "\n".join(notes),
            loc="lower left",
            bbox_to_anchor=(0, 1),
            bbox_transform=ax.transAxes + ScaledTranslation(0, line, ax.figure.dpi_scale_trans),
            pad=0,
            borderpad=0,
            frameon=False,
            prop={"size": "small", "color": RED, "parse_math": False},
        )
        ax.add_artist(above)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=ink(0.1), linewidth=0.8)
    ax.set_axisbelow(True)
