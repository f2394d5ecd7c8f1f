"""Downloads from the panel: sessions, report, figures and captions."""

from __future__ import annotations

import contextlib
import io
import tempfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from itertools import chain, count
from pathlib import Path

from rtkit.boundary.text import short_name
from rtkit.session import Session
from rtkit.views.plots import COMPARED, save_figure
from rtkit.views.report import report
from rtkit.views.saved import save_transcript

__all__ = ["KINDS", "download"]

Sessions = Mapping[str, Session]


def _sessions(sessions: Sessions, folder: Path) -> None:
    for name, session in zip(_files(sessions), sessions.values(), strict=True):
        session.save(folder / f"{name}.jsonl")


def _report(sessions: Sessions, folder: Path) -> None:
    report(sessions, folder / "report.html")


def _figures(sessions: Sessions, folder: Path) -> None:
    from matplotlib.figure import Figure

    for plot in COMPARED:
        figure = Figure(figsize=(7.2, 4.6 + 0.2 * len(sessions)), layout="constrained")
        plot(sessions, ax=figure.subplots())
        save_figure(figure, folder / plot.__name__.removeprefix("plot_").strip("_"))


def _captions(sessions: Sessions, folder: Path) -> None:
    for name, session in zip(_files(sessions), sessions.values(), strict=True):
        save_transcript(session, folder / f"{name}_heard.txt")
        for suffix in (".srt", ".vtt"):
            with contextlib.suppress(ValueError):  # a service without word times has no captions
                save_transcript(session, folder / f"{name}_heard{suffix}")


KINDS: Mapping[str, tuple[Callable[[Sessions, Path], None], str]] = {
    "Sessions": (_sessions, "The sessions' files, for rtkit.load_session"),
    "Report": (_report, "A page with all figures, that opens without a server"),
    "Figures": (_figures, "The figures as SVG, for print, and as PNG"),
    "Captions": (_captions, "What was heard, as SubRip, WebVTT and text"),
}
TYPES = {
    ".html": "text/html",
    ".jsonl": "application/jsonl",
    ".txt": "text/plain",
    ".zip": "application/zip",
}


def download(kind: str, sessions: Sessions) -> tuple[str, bytes, str]:
    """A file's name, what is in it, and its media type; several files are put into one archive."""
    make, _ = KINDS[kind]
    with tempfile.TemporaryDirectory(prefix="rtkit-") as made:
        make(sessions, Path(made))
        files = sorted(Path(made).iterdir())
        if len(files) == 1:
            (file,) = files
            return file.name, file.read_bytes(), TYPES[file.suffix]
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
            for file in files:
                packed.write(file, file.name)
    return f"{kind.lower()}.zip", archive.getvalue(), TYPES[".zip"]


def _files(names: Iterable[str]) -> list[str]:
    """Sessions' names as files', each another one, also where case does not count."""
    found: dict[str, str] = {}
    for name in names:
        kept = short_name("".join(one if one.isalnum() or one in "-_." else "_" for one in name))
        ways = chain([kept], (f"{kept}-{number}" for number in count(2)))
        file = next(way for way in ways if way.casefold() not in found)
        found[file.casefold()] = file
    return list(found.values())
