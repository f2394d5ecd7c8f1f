"""The cost of a sweep, and asking for agreement to it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

from rtkit.boundary.text import counted
from rtkit.experiments.sweep.grid import Cell

__all__ = ["agree"]


def agree(
    billed: Mapping[str, Sequence[Cell]], confirm: bool | Callable[[str], object] | None
) -> None:
    """State the cost in session time, and ask; raises RuntimeError unless somebody agrees.

    `billed` has the sessions of each service that bills, by what it is called.
    """
    costs = []
    for by, cells in billed.items():
        minutes = sum(cell.seconds for cell in cells) / 60
        costs.append(
            f"{counted(len(cells), 'session')} will take about {minutes:.1f} minutes of session "
            f"time in total, billed by {by}."
        )
    cost = " ".join(costs)
    if confirm is None:
        try:
            answer = input(f"{cost} Start? [y/N] ")
        except (EOFError, OSError, RuntimeError, NotImplementedError) as error:
            raise RuntimeError(
                f"The sweep was not started: {cost} Nobody can be asked here; pass "
                f"confirm=True to confirm."
            ) from error
        agreed = answer.strip().casefold() in ("y", "yes")
    else:
        if confirm is True:
            print(cost, file=sys.stdout)
        agreed = bool(confirm(cost)) if callable(confirm) else bool(confirm)
    if not agreed:
        raise RuntimeError(f"The sweep was not started, as requested: {cost}")
