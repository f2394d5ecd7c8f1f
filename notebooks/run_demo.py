"""Run the first notebook without a browser: ``make demo``.

Executes it in a kernel of its own, writes a page about its sessions, and prints the table and the
figure's name. Everything that it makes goes to one folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

import rtkit

NOTEBOOK = Path(__file__).parent / "01_why_pacing_matters.ipynb"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("build", type=Path, help="the folder to write to")
    build: Path = parser.parse_args().build.resolve()
    runs = build / "runs"
    runs.mkdir(parents=True, exist_ok=True)

    print(f"Running {NOTEBOOK.name}: two sessions of 25 s, one after the other ...", flush=True)
    began = time.monotonic()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source += f"\nrecord = {str(runs)!r}"
    NotebookClient(notebook, resources={"metadata": {"path": str(NOTEBOOK.parent)}}).execute()

    sessions = rtkit.load_session(runs)
    page = rtkit.report(sessions, build / NOTEBOOK.with_suffix(".html").name)
    _, figure = rtkit.save_figure(rtkit.plot_comparison(sessions), build / "comparison")
    print(f"\n{rtkit.summarize(sessions)}\n")
    naive, paced = sessions["fixed_sleep"], sessions["wall_clock"]
    each = naive.lateness[-1] / (len(naive.chunks) - 1)
    print(
        f"Naive: {len(naive.chunks)} chunks, {each * 1000:.1f} ms lost with each "
        f"({naive.settings.work * 1000:g} ms of work and the overhead), "
        f"{naive.lateness[-1] * 1000:.0f} ms late at the end.\n"
        f"Wall clock: {paced.lateness[-1] * 1000:.1f} ms late at the end; "
        f"a chunk is {paced.settings.chunk * 1000:g} ms.\n"
    )
    print(f"figure  {figure}\npage    {page}\nfacts   {runs}/")
    print(f"({time.monotonic() - began:.0f} s)")


if __name__ == "__main__":
    main()
