"""The first notebook in JupyterLab, in a real browser: what a person sees and does.

Pictures go to ``build/screenshots``.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
from playwright.sync_api import Page, expect, sync_playwright

ROOT = Path(__file__).parents[1]
NOTEBOOK = "notebooks/01_why_pacing_matters.ipynb"
TOKEN = "only-for-this-test"
PATIENCE = 60_000  # milliseconds; only a failing test waits so long
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

# The kernel's indicator says idle before the notebook can run anything: these are what count.
READY = """async () => {
  await jupyterapp.restored;
  const notebook = jupyterapp.shell.currentWidget;
  await notebook.context.ready;
  await notebook.sessionContext.ready;
  await notebook.sessionContext.session.kernel.info;
}"""
RUN_UP_TO_THE_PANEL = """async () => {
  const cells = jupyterapp.shell.currentWidget.content;
  const last = cells.widgets.findIndex(cell => cell.model.sharedModel.source.includes("panel("));
  cells.activeCellIndex = 0;
  while (cells.activeCellIndex <= last)
    await jupyterapp.commands.execute("notebook:run-cell-and-select-next");
  return last;
}"""
# Whatever in the panel, or around it up to the notebook, has a scroll bar of its own, or is wider
# than what it stands in.
CUT_OFF = """panel => {
  const faults = [];
  const within = panel.getBoundingClientRect();
  for (const one of panel.querySelectorAll("*")) {
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    if (!box.width || !box.height || one.closest("svg, select, input")) continue;
    const name = one.tagName + "." + one.className;
    if (box.right > within.right + 1) faults.push(name + " sticks out");
    if (style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1)
      faults.push(name + " is cut off on the right");
    if (style.overflowY !== "visible" && one.scrollHeight > one.clientHeight + 1)
      faults.push(name + " is cut off below");
  }
  for (let one = panel; !one.classList.contains("jp-Cell"); one = one.parentElement) {
    const style = getComputedStyle(one);
    if (["auto", "scroll"].includes(style.overflowY) && one.scrollHeight > one.clientHeight + 1)
      faults.push(one.className + " scrolls within the notebook");
  }
  return faults;
}"""

# Texts that stand out too little from what lies behind them, by WCAG's contrast ratio.
FAINT = """panel => {
  const light = colour => {
    const parts = colour.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255);
    const linear = parts.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05;
  };
  const behind = light(getComputedStyle(document.querySelector(".jp-Notebook")).backgroundColor);
  const texts = [".rt-status [role]", ".rt-transcript div", ".rt-trace text", ".rt-table td"];
  return texts.filter(name => {
    const text = light(getComputedStyle(panel.querySelector(name)).color);
    return Math.max(text, behind) / Math.min(text, behind) < 4.5;
  });
}"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        sentence = f"There is no browser to test with: none of {', '.join(BROWSERS)} is installed."
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return found


@pytest.fixture(scope="module")
def lab(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """JupyterLab on a copy of the notebooks, with settings of its own; its address."""
    work = tmp_path_factory.mktemp("lab")
    for folder in ("notebooks", "data"):
        shutil.copytree(
            ROOT / folder, work / folder, ignore=shutil.ignore_patterns("runs", ".*", "__*")
        )
    settings = work / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    directories = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "configuration",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    with (work / "log").open("w") as log:
        server = subprocess.Popen(
            [
                *(sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={port}"),
                *("--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
                *("--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={work}"),
            ],
            cwd=work,
            env={**os.environ, **{name: str(work / sub) for name, sub in directories.items()}},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_for(f"{address}/api?token={TOKEN}", server, work / "log")
        yield address
    finally:
        server.terminate()
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE / 1000
    while True:
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except (URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def page(browser: str, lab: str) -> Iterator[Page]:
    """The notebook with its first cells run, up to the panel."""
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser,
            args=["--no-sandbox", "--disable-gpu", "--disable-background-networking"],
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        page.goto(f"{lab}/lab/tree/{NOTEBOOK}?token={TOKEN}")
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
        page.evaluate(READY)
        assert page.evaluate(RUN_UP_TO_THE_PANEL) > 0
        page.wait_for_selector(".rt-panel .rt-run")
        yield page
        chromium.close()


@pytest.fixture(scope="module")
def pictures() -> Path:
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose(page: Page, *, pacing: str, chunk: int, seconds: float) -> None:
    page.locator(".rt-pacing select").select_option(label=pacing)
    for name, value in ((".rt-chunk", chunk), (".rt-seconds", seconds)):
        field = page.locator(f"{name} input")
        field.fill(f"{value:g}")
        field.press("Tab")


def picture(page: Page, path: Path) -> None:
    """The panel as on a screen tall enough to show it whole."""
    size = page.viewport_size
    assert size is not None
    page.set_viewport_size({"width": size["width"], "height": 2100})
    page.locator(".rt-run").scroll_into_view_if_needed()
    page.locator(".rt-panel").screenshot(path=path)
    page.set_viewport_size(size)


def test_the_panel_stands_whole_below_its_cell(page: Page, pictures: Path) -> None:
    expect(page.locator("button.rt-run")).to_be_enabled()
    expect(page.locator("button.rt-stop")).to_be_disabled()
    assert page.locator(".rt-panel").evaluate(CUT_OFF) == []
    page.locator(".rt-run").scroll_into_view_if_needed()
    page.screenshot(path=pictures / "before.png")


def test_the_chunks_field_and_buttons_agree(page: Page) -> None:
    choose(page, pacing="wall clock", chunk=50, seconds=2)
    expect(page.locator(".rt-panel .jupyter-button.mod-active")).to_have_text("50")
    page.locator(".rt-panel .widget-toggle-button", has_text="200").click()
    expect(page.locator(".rt-chunk input")).to_have_value("200")


def test_a_session_shows_itself_while_it_runs_and_its_figures_afterwards(
    page: Page, pictures: Path
) -> None:
    choose(page, pacing="compare naive with wall clock", chunk=100, seconds=4)
    page.locator("button.rt-run").click()
    expect(page.locator("button.rt-run")).to_be_disabled()
    expect(page.locator(".rt-status")).to_contain_text("fixed sleep:")
    line = page.locator(".rt-trace polyline").first
    line.wait_for(state="attached")
    drawn = line.get_attribute("points")
    page.wait_for_function(
        "drawn => document.querySelector('.rt-trace polyline').getAttribute('points') !== drawn",
        arg=drawn,
    )
    expect(page.locator(".rt-transcript")).to_contain_text("good morning")
    width = "e => parseFloat(getComputedStyle(e.querySelector('.progress-bar') ?? e).width)"
    assert page.locator(".rt-progress").evaluate(width) > 0
    page.screenshot(path=pictures / "running.png")

    expect(page.locator(".rt-status")).to_contain_text("Done: fixed sleep ended")
    figure = page.locator("img.rt-figure")
    expect(figure).to_be_visible()
    page.wait_for_function("document.querySelector('img.rt-figure').naturalWidth > 0")
    expect(page.locator(".rt-table td", has_text="chunks sent")).to_be_visible()
    expect(page.locator(".rt-saved")).to_contain_text("wall_clock.jsonl")
    assert page.locator(".rt-panel").evaluate(CUT_OFF) == []
    above = "e => e.getBoundingClientRect().top"
    assert figure.evaluate(above) < page.locator(".rt-table").evaluate(above)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 1920])
def test_nothing_is_cut_off_in_any_width_and_theme(
    page: Page, pictures: Path, theme: str, width: int
) -> None:
    page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})",
        f"JupyterLab {theme.title()}",
    )
    shown = f"body[data-jp-theme-light='{str(theme == 'light').lower()}']"
    page.wait_for_selector(shown, state="attached")
    page.set_viewport_size({"width": width, "height": 1000})
    page.locator(".rt-run").scroll_into_view_if_needed()
    assert page.locator(".rt-panel").evaluate(CUT_OFF) == []
    picture(page, pictures / f"done-{theme}-{width}.png")
    page.screenshot(path=pictures / f"screen-{theme}-{width}.png")
    assert page.locator(".rt-panel").evaluate(FAINT) == []


def test_stop_in_the_middle_keeps_what_was_measured(page: Page, pictures: Path) -> None:
    choose(page, pacing="wall clock", chunk=50, seconds=60)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("wall clock:")
    page.locator("button.rt-stop").click()
    expect(page.locator(".rt-status")).to_contain_text("Stopped; what was recorded is kept")
    expect(page.locator("img.rt-figure")).to_be_visible()
    expect(page.locator("button.rt-run")).to_be_enabled()
    page.screenshot(path=pictures / "stopped.png")


def test_what_is_wrong_is_seen(page: Page, pictures: Path) -> None:
    field = page.get_by_placeholder("a folder with more recordings")
    field.fill("no such folder")
    field.press("Tab")
    expect(page.locator(".rt-status [role=alert]")).to_contain_text("cannot be read")
    assert page.locator(".rt-panel").evaluate(CUT_OFF) == []
    page.locator(".rt-run").scroll_into_view_if_needed()
    page.screenshot(path=pictures / "wrong.png")
