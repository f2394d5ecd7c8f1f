"""The live trace: lateness as it happens, drawn by the browser.

Drawing a figure in the kernel makes the sender late that it shows (measured: a p99 of 2 ms turns
into 400). So the kernel only writes some hundred numbers into an SVG, and the browser draws them.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence

import numpy as np

from rtkit.analysis.naming import said
from rtkit.views.colors import DASHES, looks_for
from rtkit.views.units import Unit, unit_of

__all__ = ["round_marks", "thin", "trace_svg"]

WIDTH, HEIGHT = 640, 222
LEFT, RIGHT, TOP, BOTTOM = 58, 14, 34, 44
ENTRY, LETTER = 206, 6.2  # least width of a legend's entry, and what a letter takes of it
ROW = 18
COLUMNS = 250  # two points each: about what the picture can show

Values = Sequence[float] | np.ndarray


def trace_svg(
    series: Mapping[str, tuple[Values, Values]],
    *,
    seconds: float,
    pacings: Sequence[str] | None = None,
) -> str:
    """Lateness over audio time, a line a session.

    Parameters
    ----------
    series : mapping of str to (audio, lateness)
        By the session's name; both in seconds, of one length.
    seconds : float
        The clip's length: the whole width.
    pacings : sequence of str, optional
        The pacing of each session, by which it looks; without it, its name is one. Beside others,
        an unpaced session runs along the edge: it is early by the length of the recording.

    Returns
    -------
    str
        An SVG in the colors of the page's theme, of bounded length whatever the series'.
    """
    pacings = list(series) if pacings is None else pacings
    late = {name: np.asarray(y, dtype=float) for name, (_, y) in series.items()}
    paced = [
        y for y, one in zip(late.values(), pacings, strict=True) if one != "unpaced" and len(y)
    ]
    held = paced or [*late.values()]
    unit = unit_of(*held)
    labels = {name: _label(name, y, unit) for name, y in late.items()}
    entry = max([ENTRY, *(34 + LETTER * len(label) for label in labels.values())])
    a_row = max(1, int(WIDTH // entry))
    top = TOP + ROW * ((len(late) - 1) // a_row if late else 0)
    height = HEIGHT + top - TOP
    values = np.concatenate([[0.0, 10.0], *[y * unit.times for y in held]])
    low, high = _round_limits(float(values.min()), float(values.max()))
    lines = {
        name: thin(np.array(series[name][0]), np.clip(y * unit.times, low, high))
        for name, y in late.items()
    }

    def place(x: float, y: float) -> tuple[float, float]:
        across = LEFT + x / seconds * (WIDTH - LEFT - RIGHT)
        return across, top + (high - y) / (high - low) * (HEIGHT - TOP - BOTTOM)

    parts = []
    marks = [value for value in (low, low / 2, high / 2, high) if abs(value) > (high - low) / 10]
    for value in (0.0, *marks):
        _, y = place(0, value)
        parts.append(
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}" '
            'stroke="currentColor" stroke-opacity="0.2"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{value:g}</text>'
        )
    for second in round_marks(seconds):
        x, _ = place(second, 0)
        parts.append(f'<text x="{x:.1f}" y="{height - 26}" text-anchor="middle">{second:g}</text>')
    for entries_before, (name, one) in enumerate(zip(lines, looks_for(pacings), strict=True)):
        look = f'stroke="{one.color}" stroke-width="2" stroke-dasharray="{DASHES[one.linestyle]}"'
        points = " ".join(
            "{:.1f},{:.1f}".format(*place(x, y)) for x, y in zip(*lines[name], strict=True)
        )
        row, column = divmod(entries_before, a_row)
        left, middle = 8 + entry * column, 12 + ROW * row
        parts.append(
            f'<polyline fill="none" {look} points="{points}"/>'
            f'<line x1="{left:g}" x2="{left + 22:g}" y1="{middle}" y2="{middle}" {look}/>'
            f'<text x="{left + 28:g}" y="{middle + 4}">{html.escape(labels[name])}</text>'
        )
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" '
        'aria-label="Lateness of each chunk over seconds of audio" '
        'style="width: 100%; max-width: 720px; font: 12px sans-serif; fill: currentColor; '
        f'color: var(--jp-ui-font-color1, #333)">{"".join(parts)}'
        f'<text x="{WIDTH - RIGHT}" y="{height - 8}" text-anchor="end">'
        f"lateness in {unit.name}, over seconds of audio</text></svg>"
    )


def round_marks(last: float) -> list[float]:
    """At most seven round numbers, from 0 to `last`."""
    size = 10.0 ** math.floor(math.log10(last))
    step = next(part * size for part in (0.2, 0.5, 1, 2, 5) if last / (part * size) < 7)
    return [float(f"{number * step:.6g}") for number in range(int(last / step + 1e-9) + 1)]


def _label(name: str, lateness: np.ndarray, unit: Unit) -> str:
    if not len(lateness):
        return said(name)
    last = lateness[-1]
    late = f"{abs(last) * unit.times:.1f} {unit.name} {'late' if last >= 0 else 'early'}"
    return f"{said(name)}: {late}"


def thin(x: np.ndarray, y: np.ndarray, columns: int = COLUMNS) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest point of each of `columns` stretches: no spike is lost.

    Returns both arrays whole if they are short enough; the last point always stays.
    """
    if len(x) <= 2 * columns:
        return x, y
    kept = {0, len(x) - 1}
    for stretch in np.array_split(np.arange(len(x)), columns):
        kept |= {int(stretch[np.argmin(y[stretch])]), int(stretch[np.argmax(y[stretch])])}
    rows = sorted(kept)
    return x[rows], y[rows]


def _round_limits(low: float, high: float) -> tuple[float, float]:
    """Limits that hold both values and do not change with each of them."""
    steps = [size * 10.0**power for power in range(1, 8) for size in (1, 2, 5)]
    top = next((step for step in steps if step >= high), high)
    bottom = 0.0 if low >= -top * 0.02 else -next((step for step in steps if step >= -low), -low)
    return bottom, top
