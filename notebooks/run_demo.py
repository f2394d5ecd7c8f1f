"""Run the first notebook without a browser: ``make demo``.

Executes it in a kernel of its own, keeps it as a page, writes a report about its sessions, and
prints the table and the figure's name. Everything that it makes goes to one folder.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

import rtkit
from rtkit.views.interactive import SCRIPT
from rtkit.views.page import page

NOTEBOOK = Path(__file__).parent / "01_why_pacing_matters.ipynb"
WIDGET = "application/vnd.jupyter.widget-view+json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("build", type=Path, help="the folder to write to")
    build: Path = parser.parse_args().build.resolve()
    runs = build / "runs" / time.strftime("%Y-%m-%d_%H-%M-%S")  # not among those of other runs
    runs.mkdir(parents=True)

    print(f"Running {NOTEBOOK.name}: two sessions of 25 s, one after the other ...", flush=True)
    began = time.monotonic()
    notebook: Any = nbformat.read(NOTEBOOK, as_version=4)
    parameters = next(c for c in notebook.cells if "parameters" in c.metadata.get("tags", ()))
    parameters.source += f"\nrecord = {str(runs)!r}"
    NotebookClient(
        notebook,
        resources={"metadata": {"path": str(NOTEBOOK.parent)}},
        extra_arguments=["--log-level=ERROR"],  # it warns of its way to nbclient, on this machine
    ).execute()
    executed = build / NOTEBOOK.with_suffix(".html").name
    executed.write_text(as_page(notebook), encoding="utf-8")

    sessions = rtkit.load_session(runs)
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=sessions["wall_clock"].settings.seconds)
    report = rtkit.report(sessions, build / "report.html", clip=clip)
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
    print(f"notebook  {executed}\nreport    {report}\nfigure    {figure}\nfacts     {runs}/")
    print(f"({time.monotonic() - began:.0f} s)")


def as_page(notebook: Any) -> str:
    """The executed notebook, to be read without Jupyter and without a network."""
    heading, _, rest = notebook.cells[0].source.partition("\n")
    notebook.cells[0].source = rest
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            shown = output.get("data", {})
            if shown.pop(WIDGET, None) and "text/html" not in shown:
                shown["text/plain"] = "(widgets: run the notebook to use them)"
    body, _ = HTMLExporter(template_name="basic").from_notebook_node(notebook)
    return page(
        heading.lstrip("# "),
        lede=f'<p class="lede">{NOTEBOOK.name}, executed.</p>',
        sections={"": body},
        made=f"Made by rtkit {rtkit.__version__}.",
        scripts=[SCRIPT],
    )


if __name__ == "__main__":
    main()
