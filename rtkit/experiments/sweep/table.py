"""The table of a sweep: one row per session, including failed ones."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rtkit.analysis.frames import session_row
from rtkit.boundary.files import replacing
from rtkit.experiments.sweep.grid import Cell
from rtkit.recording import load_session
from rtkit.session import Session

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["make_table", "write_table"]


def make_table(cells: list[Cell], order: list[Cell], errors: Mapping[Path, str]) -> pd.DataFrame:
    import pandas as pd

    places = {cell.path: place for place, cell in enumerate(order)}
    rows = []
    for cell in cells:
        row: dict[str, Any] = {
            "session": cell.path.stem,
            "recording": cell.clip.name,
            "clip_start": cell.clip.first / cell.clip.rate,
            "chunk": cell.plan.chunk,
            "pacing": cell.plan.pacing,
            **({"service_name": cell.name} if cell.name else {}),
            "repeat": cell.repeat,
            "order": places[cell.path],
            "file": str(cell.failure if cell.path in errors else cell.path),
            "error": errors.get(cell.path, ""),
        }
        if cell.path in errors:
            row |= {"ending": "failed", "valid": False, "clip_seconds": cell.clip.seconds}
        else:
            session = load_session(cell.path)
            row |= {"open_seconds": _open_seconds(session), **session_row(session)}
        rows.append(row)
    rows.sort(key=lambda row: bool(row["error"]))  # a whole one first: it knows all columns
    table = pd.DataFrame(rows)
    table = table.set_index("session").loc[[cell.path.stem for cell in cells]].reset_index()
    table["valid"] = table["valid"].astype(bool)
    return table


def _open_seconds(session: Session) -> float:
    """From the connection to the end: the time that a service bills."""
    opened = next((event.at for event in session.events if event.name == "connected"), 0.0)
    return session.ending.at - opened if session.ending is not None else float("nan")


def write_table(table: pd.DataFrame, path: Path) -> None:
    with replacing(path) as aside:
        table.to_parquet(aside, index=False)
