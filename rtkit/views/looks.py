"""What all figures share: a look for each session, titles that tell of faults, legends below."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from typing import Any

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.transforms import ScaledTranslation

from rtkit.analysis.naming import Sessions, named, said
from rtkit.analysis.validity import validity
from rtkit.session import Session
from rtkit.views.trace import COLORS

__all__ = ["legend_below", "listed", "looks_of", "minus", "say_instead", "signed", "titled"]

# Line styles and hatches serve print without color.
OTHERS = ("#CC79A7", "#E69F00", "#56B4E9", "#000000")
STYLES = {"fixed_sleep": "--", "wall_clock": "-", "unpaced": ":"}
OTHER_STYLES = ("-.", "-", "--", ":")  # the next one once the colors are used up


def looks_of(sessions: Sessions) -> list[Mapping[str, Any]]:
    """A color and a line style for each session: the pacing's, as long as it is not taken."""
    looks: list[Mapping[str, Any]] = []
    others = product(OTHER_STYLES, OTHERS)
    taken = set()
    for session in named(sessions).values():
        pacing = session.settings.pacing
        if pacing in taken or pacing not in COLORS:
            style, color = next(others, (OTHER_STYLES[0], OTHERS[-1]))
            looks.append({"color": color, "linestyle": style})
        else:
            taken.add(pacing)
            looks.append({"color": COLORS[pacing], "linestyle": STYLES[pacing]})
    return looks


def listed(names: Iterable[str]) -> str:
    """Names in a row, none of which is broken over two lines."""
    return " | ".join(said(name).replace(" ", "\N{NO-BREAK SPACE}") for name in names)


def minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


def signed(seconds: float) -> str:
    """A duration in milliseconds."""
    return minus(f"{seconds * 1000:.{0 if abs(seconds) >= 0.01 else 1}f} ms")


def legend_below(ax: Axes, artists: Sequence[Artist], *, title: str = "", columns: int = 1) -> None:
    """A legend under the axis's label, at a distance that does not depend on the axes' height."""
    if not artists:
        return
    below = ax.transAxes + ScaledTranslation(0, -0.52, ax.figure.dpi_scale_trans)
    legend = ax.legend(
        handles=list(artists),
        title=title,
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


def say_instead(ax: Axes, sentence: str) -> None:
    ax.text(0.5, 0.5, sentence, transform=ax.transAxes, ha="center", color="0.4")
    ax.set_xticks([])
    ax.set_yticks([])


def titled(ax: Axes, title: str, x: str, y: str, sessions: Mapping[str, Session]) -> None:
    """What is on the axes; and, over all figures of them, which sessions are not valid."""
    ax.set_title(title, fontsize="medium", loc="left", fontweight="bold", parse_math=False)
    wrong = [
        f"{said(name)} ({', '.join(dict.fromkeys(problem.name for problem in found.problems))})"
        for name, session in sessions.items()
        if not (found := validity(session))
    ]
    if wrong:
        note = f"not valid: {', '.join(wrong)}"
        if len(note) > 50:  # it shares its line with the title
            note = f"not valid: {len(wrong)} of {len(sessions)} sessions"
        ax.set_title(note, loc="right", fontsize="small", color="#B00020", parse_math=False)
    ax.set_xlabel(x)
    ax.set_ylabel(y)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color="0.92", linewidth=0.8)
    ax.set_axisbelow(True)
