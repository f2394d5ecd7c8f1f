"""Every notebook runs from top to bottom, defines nothing, and is kept without outputs."""

from __future__ import annotations

import ast
import importlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from nbclient import NotebookClient

import rtkit

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
KEYS = re.compile(
    r"\b[0-9a-f]{32}\b"  # AssemblyAI's
    r"|\b(?:sk|pk|ghp|gho|hf|xox[bap])[-_][A-Za-z0-9_-]{16,}"
    r"|\bAKIA[0-9A-Z]{16}\b"
    r"|\b(?:api_?key|token|secret)\b\s*=\s*[\"'][^\"']+[\"']",
    re.IGNORECASE,
)

SHORTER = {"seconds": 6, "hours": 0.1, "calibrating": 1}  # parameters that a test need not wait for

each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def kept(path: Path) -> Any:
    """The notebook as git keeps it; the file itself where git does not know it."""
    shown = subprocess.run(
        ["git", "show", f":{path.relative_to(ROOT).as_posix()}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    text = shown.stdout if shown.returncode == 0 else path.read_text(encoding="utf-8")
    return nbformat.reads(text, as_version=4)


def code_cells(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def python(source: str) -> ast.Module:
    """A cell's code, without lines that only IPython reads."""
    lines = ["pass" if re.match(r"\s*[%!?]", line) else line for line in source.splitlines()]
    return ast.parse("\n".join(lines))


def parameters(notebook: Any) -> Any:
    return code_cells(notebook)[0]


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@each_notebook
def test_it_runs_from_top_to_bottom(path: Path, tmp_path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    assigned = python(parameters(notebook).source).body
    for name, less in SHORTER.items():
        if any(ast.unparse(line).startswith(f"{name} =") for line in assigned):
            parameters(notebook).source += f"\n{name} = {less}"
    client = NotebookClient(
        notebook,
        timeout=180,
        kernel_name="python3",
        resources={"metadata": {"path": str(tmp_path)}},  # it runs in any folder
    )
    client.execute()
    outputs = [output for cell in code_cells(notebook) for output in cell.outputs]
    assert outputs
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    shown = [output.data for output in outputs if "data" in output]
    assert not any(kind.startswith("image/") for data in shown for kind in data)  # they have no alt
    for data in shown:
        images = re.findall(r"<img[^>]*>", "".join(data.get("text/html", "")))
        assert [image for image in images if not re.search(r'alt="[^"]+"', image)] == []


def test_without_the_extras_scoring_says_so_in_a_sentence_and_goes_on(tmp_path: Path) -> None:
    for folder in ("notebooks", "data"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("runs"))
    path = tmp_path / "notebooks" / "05_transcribe_and_score.ipynb"
    notebook: Any = nbformat.read(path, as_version=4)
    parameters(
        notebook
    ).source += "\nseconds = 3\nimport sys\nsys.modules |= dict.fromkeys(['jiwer', 'pocketsphinx'])"
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": path.parent}}
    ).execute()
    printed = "".join(
        output.text
        for cell in code_cells(notebook)
        for output in cell.outputs
        if output.output_type == "stream"
    )
    for extra in ("recognizer", "eval"):
        assert printed.count(f"pip install 'rtkit[{extra}]'") == 1
    assert "unpaced, 100 ms" in printed
    assert "WER" not in printed


@each_notebook
def test_it_is_kept_without_outputs(path: Path) -> None:
    notebook = kept(path)
    assert "widgets" not in notebook.metadata
    for cell in code_cells(notebook):
        assert cell.outputs == []
        assert cell.execution_count is None
        assert "execution" not in cell.metadata


@each_notebook
def test_its_first_code_cell_is_tagged_parameters(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    tagged = [c for c in notebook.cells if "parameters" in c.metadata.get("tags", ())]
    assert tagged == [parameters(notebook)]
    assert all(isinstance(line, ast.Assign) for line in python(tagged[0].source).body)


@each_notebook
def test_it_states_and_calls_but_defines_nothing(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    defining = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda
    for cell in code_cells(notebook):
        found = [node for node in ast.walk(python(cell.source)) if isinstance(node, defining)]
        assert found == [], cell.source


@each_notebook
def test_it_holds_no_key(path: Path) -> None:
    assert KEYS.search(path.read_text(encoding="utf-8")) is None
    for cell in kept(path).cells:
        assert KEYS.search(cell.source) is None


@pytest.mark.parametrize(
    "text", ["key = '0123456789abcdef0123456789abcdef'", "api_key = 'mine'", "sk-" + "a1" * 12]
)
def test_a_key_would_be_found(text: str) -> None:
    assert KEYS.search(text) is not None


@each_notebook
def test_it_opens_with_what_you_will_do_learn_and_need(path: Path) -> None:
    notebook: Any = nbformat.read(path, as_version=4)
    opening = notebook.cells[0]
    assert opening.cell_type == "markdown"
    assert opening.source.startswith("# ")
    for promise in ("You will", "learn", "You need"):
        assert promise in opening.source


@each_notebook
def test_papermill_can_change_each_parameter(path: Path, tmp_path: Path) -> None:
    known = papermill.inspect_notebook(str(path))
    assert known
    changed = {name: f"another {name}" for name in known}
    prepared = papermill.execute_notebook(
        str(path), str(tmp_path / path.name), changed, prepare_only=True, progress_bar=False
    )
    given, injected = code_cells(prepared)[:2]
    assert "parameters" in given.metadata.tags
    assert "injected-parameters" in injected.metadata.tags
    values: dict[str, object] = {}
    exec(f"{given.source}\n{injected.source}", values)
    assert {name: values[name] for name in known} == changed


def test_papermill_runs_a_notebook_with_a_changed_parameter(tmp_path: Path) -> None:
    for folder in ("notebooks", "data"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("runs"))
    done = papermill.execute_notebook(
        str(ROOT / "notebooks" / "03_three_hours_in_a_second.ipynb"),
        str(tmp_path / "done.ipynb"),
        {"hours": 0.05, "seconds": 6},
        cwd=str(tmp_path / "notebooks"),
        kernel_name="python3",
        progress_bar=False,
    )
    printed = "".join(
        output.text
        for cell in code_cells(done)
        for output in cell.outputs
        if output.output_type == "stream"
    )
    assert "0.1 hours of sessions, 3600 chunks" in printed


def test_the_readmes_command_runs_from_the_root(tmp_path: Path) -> None:
    """As it stands there, but for the length; in a copy without what a run leaves behind."""
    shutil.copytree(
        ROOT / "notebooks", tmp_path / "notebooks", ignore=shutil.ignore_patterns("runs")
    )
    text = (ROOT / "notebooks" / "README.md").read_text(encoding="utf-8")
    commands = [line.strip() for line in text.splitlines() if line.startswith("    ")]
    assert any(line.startswith("papermill notebooks/") for line in commands)
    script = "\n".join(f"{line} -p seconds 2" if "papermill" in line else line for line in commands)
    bin_first = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", "-e", "-c", script],
        cwd=tmp_path,
        env={**os.environ, "PATH": bin_first},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "build" / "mine.ipynb").is_file()


def test_the_demos_page_is_the_executed_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read without Jupyter, runs nothing but the timeline, and loads nothing."""
    monkeypatch.syspath_prepend(ROOT / "notebooks")
    run_demo = importlib.import_module("run_demo")
    shown = {"text/html": rtkit.timeline(rtkit.simulate(1.0)).html, "text/plain": "<Timeline>"}
    widget = {run_demo.WIDGET: {"model_id": "1"}, "text/plain": "Panel(children=...)"}
    outputs = [
        nbformat.v4.new_output("display_data", data=shown),
        nbformat.v4.new_output("display_data", data=widget),
        nbformat.v4.new_output("stream", text="250 chunks"),
    ]
    cells = [
        nbformat.v4.new_markdown_cell("# Why <pacing> matters\n\nMeasure it **twice**."),
        nbformat.v4.new_code_cell("rtkit.compare(clip)", outputs=outputs, execution_count=1),
    ]
    page = run_demo.as_page(nbformat.v4.new_notebook(cells=cells))
    assert "<h1>Why &lt;pacing&gt; matters</h1>" in page
    for told in ("<strong>twice</strong>", "compare", "250 chunks", run_demo.SCRIPT):
        assert told in page
    assert "Panel(children" not in page
    assert "default-src 'none'" in page
    assert re.findall(r'(?:src|href)="https?:', page) == []
