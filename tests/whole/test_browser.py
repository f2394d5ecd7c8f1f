"""The first notebook in JupyterLab, and the panel as a page, in a real browser: what people see.

The tests of JupyterLab are one person's way through one notebook, in order. Pictures go to
``build/screenshots``, for a look.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import HTTPError, URLError

import numpy as np
import pytest
import soundfile
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright
from websockets.sync.client import connect

import rtkit
from rtkit.views.interactive import SCRIPT, live

ROOT = Path(__file__).parents[2]
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
RUN_ALL = """async () => {
  await jupyterapp.commands.execute("notebook:run-all-cells");
  const cells = jupyterapp.shell.currentWidget.content.widgets;
  return cells.flatMap(cell => cell.model.type === "code" ? [cell.model.executionCount] : []);
}"""
IMPORT = """async () => {
  const {kernel} = jupyterapp.shell.currentWidget.sessionContext.session;
  await kernel.requestExecute({code: "import rtkit"}).done;
}"""
RUN_THE_PANEL_AGAIN = """async () => {
  const cells = jupyterapp.shell.currentWidget.content;
  cells.activeCellIndex =
    cells.widgets.findIndex(cell => cell.model.sharedModel.source.includes("panel("));
  cells.deselectAll();
  await jupyterapp.commands.execute("notebook:run-cell");
}"""
# Whatever in the panel, or around it up to the notebook, has a scroll bar of its own, or is wider
# than what it stands in.
CUT_OFF = """panel => {
  const faults = [];
  const within = panel.getBoundingClientRect();
  for (const one of panel.querySelectorAll("*")) {
    const style = getComputedStyle(one), box = one.getBoundingClientRect();
    if (!box.width || !box.height || one.closest("svg, select, input, audio, .rt-words, .rt-rows"))
      continue;
    const name = one.tagName + "." + one.className;
    if (box.right > within.right + 1) faults.push(name + " sticks out");
    if (style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1)
      faults.push(name + " is cut off on the right");
    if (style.overflowY !== "visible" && one.scrollHeight > one.clientHeight + 1)
      faults.push(name + " is cut off below");
  }
  for (let one = panel; one && !one.classList.contains("jp-Cell"); one = one.parentElement) {
    const style = getComputedStyle(one);
    if (one === document.scrollingElement || one === document.body) break;
    if (["auto", "scroll"].includes(style.overflowY) && one.scrollHeight > one.clientHeight + 1)
      faults.push(one.className + " scrolls within the notebook");
  }
  return faults;
}"""
# Outputs of the notebook's cells that have a scroll bar, or reach out of their cell.
OUTGROWN = """() => [...document.querySelectorAll(".jp-OutputArea-output")].flatMap(output => {
  const faults = [], cell = output.closest(".jp-Cell").getBoundingClientRect();
  for (let one = output; !one.classList.contains("jp-Cell"); one = one.parentElement) {
    const style = getComputedStyle(one);
    const wide = style.overflowX !== "visible" && one.scrollWidth > one.clientWidth + 1;
    const high = style.overflowY !== "visible" && one.scrollHeight > one.clientHeight + 1;
    if (wide || high) faults.push(one.className + " scrolls: " + output.innerText.slice(0, 60));
  }
  if (output.getBoundingClientRect().right > cell.right + 1)
    faults.push("outgrows its cell: " + output.innerText.slice(0, 60));
  return faults;
})"""

# In how many columns the figures stand.
COLUMNS = """() => new Set([...document.querySelectorAll(".rt-figure img")].map(
  image => Math.round(image.getBoundingClientRect().left))).size"""
# Headings of the table that are broken inside a word: over more lines than they have words.
BROKEN_HEADINGS = """() => [
  ...document.querySelectorAll(".rt-table th, .rt-table td:first-child")
].filter(heading => {
  const range = document.createRange();
  range.selectNodeContents(heading);
  const lines = new Set([...range.getClientRects()].map(line => Math.round(line.top))).size;
  return lines > heading.innerText.split(/[\\s/-]+/).length;
}).map(heading => heading.innerText)"""

IN_NOTEBOOK, IN_PANEL = ".jp-RenderedHTML .rt-timeline", ".rt-panel div.rt-timeline"
BEGUN = "player => document.querySelector(player).dataset.at > 0.3"

# What a person with a screen reader is told of the widget that the keyboard is at.
FOCUSED = """() => {
  const one = document.activeElement;
  return one.labels?.[0]?.innerText || one.getAttribute("aria-label") || one.innerText;
}"""
# Whether one sees where the keyboard is.
OUTLINED = """() => {
  const one = document.activeElement;
  return [one, one.closest("label")].some(
    each => each && parseFloat(getComputedStyle(each).outlineWidth) >= 1
      && getComputedStyle(each).outlineStyle !== "none");
}"""

# Texts that stand out too little from what lies behind them, by WCAG's contrast ratio.
FAINT = """panel => {
  const light = color => {
    const parts = color.match(/[0-9.]+/g).slice(0, 3).map(part => part / 255);
    const linear = parts.map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05;
  };
  let ground = panel;
  while (/rgba\\(.*, 0\\)/.test(getComputedStyle(ground).backgroundColor))
    ground = ground.parentElement;
  const behind = light(getComputedStyle(ground).backgroundColor);
  const texts = [".rt-status [role]", ".rt-transcript div", ".rt-timeline text", ".rt-timeline",
    ".rt-table td", ".widget-label", ".rt-saved div"].filter(name => panel.querySelector(name));
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
def work(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the notebooks, shorter, with settings of its own."""
    work = tmp_path_factory.mktemp("work")
    for folder in ("notebooks", "data"):
        shutil.copytree(
            ROOT / folder, work / folder, ignore=shutil.ignore_patterns("runs", ".*", "__*")
        )
    first = work / NOTEBOOK
    shorter = first.read_text(encoding="utf-8").replace("seconds = 25 ", "seconds = 4 ")
    shorter = shorter.replace("record = None", "record = 'recorded'")
    first.write_text(shorter, encoding="utf-8")
    # Whatever the length of the notebook, all of it is in the page. Set in the page, it would be
    # undone by the settings, which JupyterLab reads a little later.
    for name, text in (
        ("apputils-extension/notification", '{"fetchNews": "false"}'),
        ("notebook-extension/tracker", '{"windowingMode": "none"}'),
    ):
        file = work / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True)
        file.write_text(text, encoding="utf-8")
    return work


@contextmanager
def serving(work: Path, name: str, *arguments: str) -> Iterator[str]:
    """A server of `python -m NAME` on a port of its own; its address, once it answers."""
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
    with (work / f"{name}.log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", name, *(each.format(port=port) for each in arguments)],
            cwd=work,
            env={**os.environ, **{name: str(work / sub) for name, sub in directories.items()}},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/api?token={TOKEN}", server, work / f"{name}.log")
        yield f"http://127.0.0.1:{port}"
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
        except HTTPError:
            return  # whoever refuses is there
        except (URLError, OSError):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        else:
            return


@pytest.fixture(scope="module")
def chromium(browser: str) -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser,
            args=[
                *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
                *("--mute-audio", "--autoplay-policy=no-user-gesture-required"),
            ],
        )
        expect.set_options(timeout=PATIENCE)
        yield chromium
        chromium.close()


def open_page(chromium: Browser) -> Page:
    """A page that reaches this machine only."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(PATIENCE)
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1[:/])"), lambda route: route.abort())
    return page


@pytest.fixture(scope="module")
def page(chromium: Browser, work: Path) -> Iterator[Page]:
    """The first notebook in JupyterLab, opened."""
    with serving(
        work,
        "jupyterlab",
        *("--no-browser", "--allow-root", "--ServerApp.ip=127.0.0.1", "--port={port}"),
        *("--ServerApp.port_retries=0", f"--IdentityProvider.token={TOKEN}"),
        *("--LabApp.expose_app_in_browser=True", f"--ServerApp.root_dir={work}"),
    ) as address:
        page = open_page(chromium)
        page.goto(f"{address}/lab/tree/{NOTEBOOK}?token={TOKEN}")
        page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
        page.evaluate(READY)
        yield page
        page.close()


@pytest.fixture(scope="module")
def pictures() -> Path:
    folder = ROOT / "build" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def choose(page: Page, *, pacing: str, chunk: float, seconds: float) -> None:
    page.locator(".rt-more input").check()
    page.locator(".rt-pacing select").select_option(label=pacing)
    for name, value in ((".rt-chunk", chunk), (".rt-seconds", seconds)):
        type_in(page, name, f"{value:g}")


def type_in(page: Page, name: str, text: str) -> None:
    field = page.locator(f"{name} input[type=text]")
    field.fill(text)
    field.press("Tab")


def upload(page: Page, name: str, content: bytes) -> None:
    page.locator(".rt-more input").check()
    with page.expect_file_chooser() as chooser:
        page.locator("button.rt-upload").click()
    chooser.value.set_files({"name": name, "mimeType": "audio/wav", "buffer": content})


def tone() -> bytes:
    """A recording of two seconds."""
    file = io.BytesIO()
    samples = 3000 * np.sin(2 * np.pi * 440 / 8000 * np.arange(16000))
    soundfile.write(file, samples.astype(np.int16), 8000, format="WAV")
    return file.getvalue()


def picture(page: Page, what: str, path: Path) -> None:
    """As on a screen tall enough to show it whole."""
    size = page.viewport_size
    assert size is not None
    height = page.locator(what).evaluate("e => e.scrollHeight")
    page.set_viewport_size({"width": size["width"], "height": round(height) + 300})
    page.locator(what).scroll_into_view_if_needed()
    page.locator(what).screenshot(path=path)
    page.set_viewport_size(size)


def themed(page: Page, theme: str, width: int) -> None:
    """JupyterLab in a theme and a width."""
    page.evaluate(
        "theme => jupyterapp.commands.execute('apputils:change-theme', {theme})",
        f"JupyterLab {theme.title()}",
    )
    shown = f"body[data-jp-theme-light='{str(theme == 'light').lower()}']"
    page.wait_for_selector(shown, state="attached")
    page.set_viewport_size({"width": width, "height": 1000})


def is_faultless(page: Page) -> None:
    panel = page.locator(".rt-panel")
    assert page.locator(".jupyter-widgets-error-widget").count() == 0
    assert panel.evaluate(CUT_OFF) == []
    assert panel.evaluate(FAINT) == []


each_look = pytest.mark.parametrize(
    ("theme", "width"), [("light", 1280), ("dark", 1280), ("light", 1920), ("dark", 1920)]
)


# JupyterLab.


def test_all_cells_run_and_no_output_outgrows_its_cell(page: Page, work: Path) -> None:
    drawn = (work / NOTEBOOK).read_text(encoding="utf-8").count("FigureClass=rtkit.ThemedFigure")
    assert None not in page.evaluate(RUN_ALL)
    expect(page.locator(".rt-panel button.rt-run")).to_be_enabled()
    expect(page.locator(".jp-RenderedHTML img.rt-drawn")).to_have_count(drawn)
    expect(page.locator(".jp-RenderedHTML audio")).to_have_count(1)
    expect(page.locator(".jp-RenderedHTML:has(progress)")).to_have_text("8 s of audio streamed")
    assert page.locator("[data-mime-type='application/vnd.jupyter.stderr']").count() == 0
    assert page.evaluate(OUTGROWN) == []
    is_faultless(page)


@each_look
def test_the_notebook_is_looked_at(page: Page, pictures: Path, theme: str, width: int) -> None:
    themed(page, theme, width)
    assert page.evaluate(OUTGROWN) == []
    figures = page.locator(".jp-RenderedHTML img.rt-drawn")
    assert figures.count() >= 3
    for figure in figures.all():
        assert figure.get_attribute("alt")
        turned = figure.evaluate("image => getComputedStyle(image).filter")
        assert (turned == "none") is (theme == "light")
    picture(page, ".jp-WindowedPanel-inner", pictures / f"notebook-{theme}-{width}.png")


def test_the_notebooks_player_plays(page: Page, pictures: Path) -> None:
    themed(page, "light", 1280)
    player = page.locator(IN_NOTEBOOK)
    plays(page, IN_NOTEBOOK)
    player.locator("[data-row=sound]").click(position={"x": 300, "y": 20})  # to the middle, about
    page.wait_for_function(
        "player => document.querySelector(player).dataset.at > 1", arg=IN_NOTEBOOK
    )
    player.screenshot(path=pictures / "player.png")


def plays(page: Page, player: str) -> None:
    """The sound goes on, the cursor with it, and words light up."""
    page.locator(f"{player} audio").evaluate("audio => audio.play()")
    where = "document.querySelector(player + ' .rt-cursor').style.left"
    start = page.evaluate(f"player => {where}", player)
    page.wait_for_function(f"([player, start]) => {where} !== start", arg=[player, start])
    page.wait_for_selector(f"{player} .rt-seen")
    page.locator(f"{player} audio").evaluate("audio => audio.pause()")
    assert page.locator(f"{player} audio").evaluate("audio => audio.currentTime") > 0


def parts(timeline: Locator) -> dict[str, float]:
    """What is told of what was chosen: its parts and its latency, in ms."""
    return {
        str(one.get_attribute("data-part")): float(one.inner_text().removesuffix(" ms"))
        for one in timeline.locator("dd[data-part]").all()
    }


def window(timeline: Locator) -> tuple[float, float]:
    """From where to where it shows, in seconds."""
    shown = [timeline.get_attribute(f"data-{name}") for name in ("from", "to")]
    return float(shown[0] or "nan"), float(shown[1] or "nan")


def test_a_turn_that_is_clicked_tells_its_parts_as_they_were_measured(
    page: Page, work: Path, pictures: Path
) -> None:
    timeline = page.locator(IN_NOTEBOOK)
    sessions = rtkit.load_session(work / "notebooks" / "recorded")
    for place, session in enumerate(sessions[name] for name in ("fixed_sleep", "wall_clock")):
        row = timeline.locator("[data-row=turns]").nth(place)
        row.locator("svg svg rect").first.click()
        expect(timeline.locator(".rt-detail b")).to_contain_text("Turn 1")
        latency, shown = rtkit.turn_latency(session), parts(timeline)
        for name in ("latency", "chunk_wait", "endpoint_wait", "lateness", "service_time"):
            assert shown[name] == pytest.approx(getattr(latency, name)[0] * 1000, abs=0.11)
        assert sum(shown.values()) == pytest.approx(2 * shown["latency"], abs=1e-6)
        expect(timeline.locator(".rt-detail")).to_contain_text("decided: the service stamped")
        expect(timeline.locator(".rt-text")).to_have_text(latency.texts[0])
    timeline.screenshot(path=pictures / "timeline.png")
    timeline.get_by_role("button", name="Play from here").click()
    page.wait_for_function(BEGUN, arg=IN_NOTEBOOK)
    timeline.locator("audio").evaluate("audio => audio.pause()")
    timeline.get_by_role("button", name=re.compile("Chunk")).click()
    expect(timeline.locator(".rt-detail")).to_contain_text("It decided turn 1.")


def test_words_and_chunks_are_reached_by_keyboard(page: Page) -> None:
    timeline = page.locator(IN_NOTEBOOK)
    timeline.get_by_role("button", name="Show all of it").focus()
    for _ in range(20):
        page.keyboard.press("Tab")
        row = page.evaluate("document.activeElement.dataset.row")
        if row == "words":
            break
    assert row == "words"
    expect(page.locator(":focus")).to_have_attribute("aria-label", re.compile("words of .*arrows"))
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    expect(timeline.locator(".rt-detail b")).to_contain_text("morning")
    assert parts(timeline)["latency"] > 0
    all_of_it = window(timeline)
    page.keyboard.press("+")
    closer = window(timeline)
    assert closer[1] - closer[0] == pytest.approx((all_of_it[1] - all_of_it[0]) / 2, abs=0.01)
    page.keyboard.press("0")
    assert window(timeline) == all_of_it
    page.keyboard.press("Tab")
    page.keyboard.press("End")
    expect(timeline.locator(".rt-detail b")).to_contain_text("Turn")
    expect(timeline.locator(".rt-detail")).to_have_attribute("aria-live", "polite")


def test_a_stretch_is_dragged_out_and_a_hair_tells_where_the_pointer_is(page: Page) -> None:
    timeline = page.locator(IN_NOTEBOOK)
    box = timeline.locator("[data-row=lateness]").bounding_box()
    assert box is not None
    middle, y = box["x"] + box["width"] / 2, box["y"] + 60
    page.mouse.move(middle, y)
    expect(timeline.locator(".rt-hint")).to_contain_text(re.compile(r"^\d\.\d{3} s"))
    page.mouse.down()
    page.mouse.move(middle + 100, y, steps=4)
    page.mouse.up()
    start, end = window(timeline)
    assert 0 < start < end < 4
    timeline.locator("[data-row=lateness]").dblclick()  # where it lies now
    expect(timeline).to_have_attribute("data-from", re.compile("^0"))


def test_what_is_typed_stays_and_is_marked_where_it_cannot_be(page: Page, pictures: Path) -> None:
    """By mouse and keyboard; what can be is streamed, and a refused Run changes nothing."""
    choose(page, pacing="wall clock", chunk=50, seconds=2)
    chunk, refused = page.locator(".rt-chunk input[type=text]"), page.locator(".rt-refused input")
    expect(page.get_by_role("radio", name="50", exact=True)).to_be_checked()
    page.get_by_role("radio", name="200").check()
    expect(chunk).to_have_value("200")
    expect(page.get_by_role("radio", name="50", exact=True)).not_to_be_checked()
    for typed in ("5", "-3", "fast"):
        type_in(page, ".rt-chunk", typed)
        expect(refused).to_have_value(typed)
        expect(page.locator(".rt-chunk [role=alert]")).to_contain_text(f"{typed} is ")
    expect(chunk).to_have_attribute("aria-invalid", "true")
    described = chunk.get_attribute("aria-describedby")
    expect(page.locator(f"#{described}")).to_contain_text("fast is not a number")
    page.locator(".rt-panel").screenshot(path=pictures / "refused.png")
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status [role=alert]")).to_contain_text("fast is not a number")
    for typed in ("62.5", "62,5"):
        type_in(page, ".rt-chunk", typed)
        expect(refused).to_have_count(0)
        expect(chunk).to_have_value(typed)
        expect(chunk).not_to_have_attribute("aria-invalid", "true")
    type_in(page, ".rt-folder", "no such folder")
    folder = page.locator(".rt-folder input")
    expect(folder).to_have_attribute("aria-invalid", "true")
    expect(page.locator(f"#{folder.get_attribute('aria-describedby')}")).to_contain_text("no such")
    type_in(page, ".rt-folder", "")
    expect(folder).not_to_have_attribute("aria-describedby", re.compile("."))
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-saved")).to_contain_text("62.5ms_wall_clock.jsonl")
    expect(page.locator(".rt-figure img")).to_have_count(4)
    type_in(page, ".rt-start", "500")
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status [role=alert]")).to_contain_text("500 is beyond the end of")
    assert page.locator(".rt-figure img").count() == 4
    type_in(page, ".rt-start", "0")


def test_another_file_is_chosen_and_streamed(page: Page) -> None:
    upload(page, "tone.wav", tone())
    expect(page.locator(".rt-status")).to_contain_text("tone.wav: 2.0 s at 8000 Hz")
    expect(page.locator(".rt-file option:checked")).to_have_text("tone.wav")
    choose(page, pacing="wall clock", chunk=200, seconds=1)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("Done: wall clock ended")
    expect(page.locator(".rt-saved")).to_contain_text("tone_200ms_wall_clock.jsonl")
    page.locator(".rt-file select").select_option(label="library_call.wav")


def test_a_session_shows_itself_while_it_runs_and_its_figures_afterwards(
    page: Page, pictures: Path
) -> None:
    choose(page, pacing="compare naive with wall clock", chunk=100, seconds=3)
    page.locator("button.rt-run").click()
    expect(page.locator("button.rt-run")).to_be_disabled()
    expect(page.locator(".rt-status")).to_contain_text("fixed sleep:")
    expect(page.locator(".rt-status")).to_contain_text("s left")
    line = page.locator(f"{IN_PANEL} [data-row=lateness] polyline").first
    line.wait_for(state="attached")
    drawn = line.get_attribute("points")
    page.wait_for_function(
        "([line, drawn]) => document.querySelector(line).getAttribute('points') !== drawn",
        arg=[f"{IN_PANEL} [data-row=lateness] polyline", drawn],
    )
    expect(page.locator(".rt-transcript")).to_contain_text("good morning")
    width = "e => parseFloat(getComputedStyle(e.querySelector('.progress-bar') ?? e).width)"
    assert page.locator(".rt-progress").evaluate(width) > 0
    is_faultless(page)
    page.locator("button.rt-run").scroll_into_view_if_needed()
    page.screenshot(path=pictures / "running.png")

    expect(page.locator(".rt-status")).to_contain_text("Done: fixed sleep ended")
    expect(page.locator(".rt-figure img")).to_have_count(4)
    figure = page.locator(".rt-figure img").first
    expect(figure).to_be_visible()
    page.wait_for_function("document.querySelector('.rt-figure img').naturalWidth > 0")
    assert (figure.get_attribute("alt") or "").startswith("how late each chunk was sent")
    expect(page.locator(".rt-table td", has_text="chunks sent")).to_be_visible()
    expect(page.locator(".rt-timeline-of option:checked")).to_have_text("all sessions")
    expect(page.locator(".rt-saved")).to_contain_text("wall_clock.jsonl")
    above = "e => e.getBoundingClientRect().top"
    assert figure.evaluate(above) < page.locator(".rt-table").evaluate(above)


def test_an_earlier_session_is_set_beside(page: Page) -> None:
    page.locator(".rt-shelf input").check()
    expect(page.locator(".rt-earlier option", has_text="valid").first).to_be_attached()
    type_in(page, ".rt-filter", "tone 200")
    earlier = page.locator(".rt-earlier option")
    expect(earlier).to_have_count(1)
    page.locator(".rt-earlier select").select_option(index=0)
    page.locator("button.rt-add").click()
    expect(page.locator(".rt-status")).to_contain_text("Shown beside: 1 saved session.")
    expect(page.locator(".rt-table th")).to_have_count(4)  # of them, one is empty
    type_in(page, ".rt-new-name", "a tone")
    page.locator("button.rt-rename").click()
    expect(page.locator(".rt-status")).to_contain_text("Renamed: a tone.")
    expect(page.locator("button.rt-delete")).to_be_enabled()


@each_look
def test_the_panel_is_looked_at(page: Page, pictures: Path, theme: str, width: int) -> None:
    themed(page, theme, width)
    is_faultless(page)
    page.wait_for_function(f"({COLUMNS})() === 2")
    picture(page, ".rt-panel", pictures / f"panel-{theme}-{width}.png")
    page.screenshot(path=pictures / f"screen-{theme}-{width}.png")


def test_on_a_narrow_screen_figures_stack_and_headings_stay_whole(
    page: Page, pictures: Path
) -> None:
    for width in (1024, 800):
        themed(page, "light", width)
        page.wait_for_function(f"({COLUMNS})() === 1")  # JupyterLab lays out a little later
        assert page.evaluate(BROKEN_HEADINGS) == []
        picture(page, ".rt-panel", pictures / f"panel-light-{width}.png")
    themed(page, "dark", 1280)


def test_what_was_measured_is_heard(page: Page, pictures: Path) -> None:
    page.locator("button.rt-hear").click()
    plays(page, IN_PANEL)
    is_faultless(page)
    page.locator(IN_PANEL).screenshot(path=pictures / "player-dark.png")


def test_stop_in_the_middle_keeps_what_was_measured(page: Page, pictures: Path) -> None:
    choose(page, pacing="wall clock", chunk=50, seconds=60)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("s left")
    page.locator("button.rt-stop").click()
    expect(page.locator(".rt-status")).to_contain_text("Stopped; what was recorded is kept")
    expect(page.locator(".rt-figure img").first).to_be_visible()
    expect(page.locator("button.rt-run")).to_be_enabled()
    page.screenshot(path=pictures / "stopped.png")


def test_a_client_is_watched_from_its_first_word_to_its_figures(page: Page, pictures: Path) -> None:
    """The client stays until the panel has shown what it heard, however slow this computer is."""
    page.locator(".rt-more input").check()
    page.get_by_role("button", name="Watch a client").click()
    address = page.locator(".rt-address").inner_text()
    page.screenshot(path=pictures / "watching-nobody.png")
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=2)
    url, key = f"{address}/v3/ws?sample_rate={clip.rate}", {"Authorization": "any"}
    with connect(url, additional_headers=key) as client:
        for chunk in clip.chunks(np.arange(0, clip.samples + 1, clip.rate // 10)):
            client.send(chunk)
            time.sleep(0.1)  # as naive clients do
        line = page.locator(f"{IN_PANEL} [data-row=lateness] polyline")
        line.first.wait_for(state="attached")
        expect(page.locator(".rt-transcript")).to_contain_text("good morning this is")
        is_faultless(page)
        page.screenshot(path=pictures / "watching.png")
        client.send('{"type": "Terminate"}')
        for _ in client:  # until the service has closed
            pass
    expect(page.locator(".rt-status")).to_contain_text("(client-1.jsonl)")
    expect(page.locator(".rt-saved")).to_contain_text("client-1.jsonl")
    expect(page.locator(".rt-status .rt-address")).to_have_text(address)
    is_faultless(page)
    page.screenshot(path=pictures / "watched.png")
    page.locator("button.rt-stop").click()
    expect(page.locator(".rt-status")).to_contain_text("client 1 ended")
    with pytest.raises(ConnectionRefusedError):
        connect(address)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("noise.wav", "noise.wav cannot be read as audio"),
        ("notes.txt", "notes.txt is no recording by its name"),
    ],
)
def test_an_unreadable_upload_shows_its_sentence(
    page: Page, pictures: Path, name: str, sentence: str
) -> None:
    upload(page, name, b"neither RIFF nor anything")
    expect(page.locator(".rt-status [role=alert]")).to_contain_text(sentence)
    is_faultless(page)
    page.locator("button.rt-run").scroll_into_view_if_needed()
    page.screenshot(path=pictures / f"wrong-{name}.png")
    page.locator(".rt-file select").select_option(label="library_call.wav")


def test_the_keyboard_reaches_everything_and_runs_and_stops(page: Page) -> None:
    """From the first field on, with Tab alone, in the order in which they are read."""
    page.locator(".rt-more input").focus()
    assert page.locator(".rt-more input").is_checked()
    page.keyboard.press("Space")
    expect(page.locator(".rt-seconds")).to_be_hidden()
    page.keyboard.press("Space")
    expect(page.locator(".rt-seconds")).to_be_visible()
    page.locator(".rt-file select").focus()
    passed = []
    for _ in range(30):
        passed.append(page.evaluate(FOCUSED).strip())
        assert page.evaluate(OUTLINED), passed[-1]
        if passed[-1] == "Calibrate":
            break
        page.keyboard.press("Tab")
    assert passed == [
        *("recording", "chunk (ms)", "50", "100", "200", "pacing", "Run", "Play", "More"),
        *("start (s)", "length (s)", "folder", "upload a file (0)", "service"),
        *("recognizer", "AssemblyAI", "Deepgram", "OpenAI", "Soniox", "Speechmatics", "sender"),
        *("extra work per chunk (ms)", "stall (ms)", "stall at (s)", "repeats", "sweep"),
        "Calibrate",
    ]
    page.locator("button.rt-run").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".rt-status")).to_contain_text("s left")
    page.locator("button.rt-stop").focus()
    page.keyboard.press("Enter")
    expect(page.locator(".rt-status")).to_contain_text("Stopped; what was recorded is kept")


def test_a_saved_notebook_that_is_opened_again_shows_results_and_finds_the_running_session(
    page: Page, work: Path, pictures: Path
) -> None:
    """Without a kernel as pictures; with it, the cell that runs again shows what still runs."""
    page.evaluate("jupyterapp.commands.execute('docmanager:save')")
    page.wait_for_function("!jupyterapp.shell.currentWidget.context.model.dirty")
    cells = json.loads((work / NOTEBOOK).read_text(encoding="utf-8"))["cells"]
    (held,) = [
        text
        for cell in cells
        for output in cell.get("outputs", ())
        if "rt-kept" in (text := json.dumps(output))
    ]
    assert 50_000 < len(held) < 400_000
    page.evaluate("jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    load_again(page)
    kept = page.locator(".rt-kept")
    expect(kept.locator("img.rt-drawn").first).to_be_visible()
    expect(kept.get_by_text("Run this cell to use the panel.")).to_be_visible()
    expect(page.get_by_text("model not found").first).to_be_hidden()
    kept.screenshot(path=pictures / "kept.png")
    timeline = page.locator(IN_NOTEBOOK)
    timeline.locator("[data-row=turns] svg svg rect").first.click()
    assert parts(timeline)["latency"] > 0

    page.evaluate(IMPORT)
    page.evaluate(RUN_THE_PANEL_AGAIN)
    expect(kept).to_be_hidden()
    page.locator("button.rt-last").click()
    expect(page.locator(".rt-figure img").first).to_be_visible()
    choose(page, pacing="wall clock", chunk=100, seconds=60)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("s left")
    load_again(page)
    page.evaluate(RUN_THE_PANEL_AGAIN)
    expect(page.locator(".rt-status")).to_contain_text("s left")
    expect(page.locator("button.rt-run")).to_be_disabled()
    page.evaluate("jupyterapp.commands.execute('notebook:interrupt-kernel')")
    expect(page.locator(".rt-status")).to_contain_text("Stopped; what was recorded is kept")
    expect(page.locator("button.rt-run")).to_be_enabled()


def load_again(page: Page) -> None:
    page.reload()
    page.wait_for_function("window.jupyterapp?.shell.currentWidget?.sessionContext")
    page.evaluate(READY)


# A page of one's own.


def test_the_player_plays_in_a_page_from_the_disk(chromium: Browser, tmp_path: Path) -> None:
    """And a wrong sample rate is heard: half the rate takes twice as long."""
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=2)
    right, wrong = rtkit.play(clip, rtkit.simulate(clip)), rtkit.play(clip, rate=8000)
    page = open_page(chromium)
    lasting = {}
    for name, player, speed in (("right", right, 1.0), ("wrong", wrong, 0.5)):
        file = tmp_path / f"{name}.html"
        file.write_text(f"<!doctype html><meta charset=utf-8>{player.html}", encoding="utf-8")
        page.goto(file.as_uri())
        page.wait_for_function("document.querySelector('audio').duration > 0")
        lasting[name] = page.locator("audio").evaluate("audio => audio.duration")
        plays(page, ".rt-timeline")
        page.wait_for_function(
            """speed => {
              const audio = document.querySelector("audio");
              const {at} = audio.closest(".rt-timeline").dataset;
              return Math.abs(at - audio.currentTime * speed) < 0.01;
            }""",
            arg=speed,
        )
    # A decoder may pad the sound: it goes on behind the end of the axis.
    page.locator("audio").evaluate("""audio => {
      for (const [name, value] of [["currentTime", 9], ["paused", false]])
        Object.defineProperty(audio, name, {value});
      audio.onplay();
    }""")
    expect(page.locator(".rt-timeline")).to_have_attribute("data-at", "4.50")
    assert lasting["wrong"] == pytest.approx(4, abs=0.1)
    assert lasting["right"] == pytest.approx(2.1, abs=0.2)  # until the last answer is there
    page.close()


def test_a_live_trace_tells_only_what_is_known(chromium: Browser, tmp_path: Path) -> None:
    """In the dark, too, where colors are turned over from the first drawing on."""
    data = live({"a": ([0.1, 0.2], [0.0, 0.05])}, seconds=0.3, pacings=["fixed_sleep"])
    file = tmp_path / "live.html"
    file.write_text(
        "<!doctype html><meta charset=utf-8><body style='color: white; background: black'>"
        f'<div class="rt-timeline"><script type="application/json">{json.dumps(data)}</script>'
        f"</div><script>{SCRIPT}</script>",
        encoding="utf-8",
    )
    page = open_page(chromium)
    page.goto(file.as_uri())
    assert data["sessions"][0]["color"] not in page.locator(".rt-rows").inner_html()
    page.locator("[data-row=chunks]").press("End")
    expect(page.locator(".rt-detail")).to_have_text(
        "A chunk50.0 ms late: it was due at 0.200 s and sent at 0.250 s."
    )
    page.close()


def test_no_turns_number_is_hidden_by_another_ones_wait(chromium: Browser, tmp_path: Path) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=25)
    shown = rtkit.timeline(rtkit.simulate(clip, pacing="fixed_sleep", work=0.005, delay=0.15))
    file = tmp_path / "naive.html"
    file.write_text(f"<!doctype html><meta charset=utf-8>{shown.html}", encoding="utf-8")
    page = open_page(chromium)
    page.goto(file.as_uri())
    hidden = """texts => texts.flatMap(text => {
      const box = text.getBoundingClientRect();
      const found = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
      return found === text || found.matches(".rt-word") ? [] : [text.textContent];
    })"""
    numbers = page.locator("[data-row=turns] svg svg text")
    expect(numbers).to_have_text(["1", "2", "3", "4", "5", "6", "7", "8"])
    assert numbers.evaluate_all(hidden) == []
    page.close()


# The page without code.


@pytest.fixture(scope="module")
def app(work: Path) -> Iterator[str]:
    """As `make app` serves it; its address."""
    recipe = (ROOT / "Makefile").read_text(encoding="utf-8").split("\napp:")[1].splitlines()[1]
    program, *arguments = recipe.split()
    assert program == "$(BIN)/voila"
    with serving(work, "voila", "--no-browser", "--port={port}", *arguments) as address:
        yield address


@pytest.fixture(scope="module")
def apps(chromium: Browser, app: str) -> Iterator[dict[str, Page]]:
    """The page in either theme; both load at once."""
    pages = {theme: open_page(chromium) for theme in ("light", "dark")}
    for theme, page in pages.items():
        page.goto(f"{app}/?theme={theme}", wait_until="commit")
    yield pages
    for page in pages.values():
        page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_page_without_code_is_looked_at(
    apps: dict[str, Page], pictures: Path, theme: str
) -> None:
    page = apps[theme]
    expect(page).to_have_title(re.compile("How late is it"))
    expect(page.get_by_role("heading", name="How late is it")).to_be_visible()
    expect(page.locator("button.rt-run")).to_be_enabled()
    assert page.locator(".jp-CodeCell .jp-InputArea, .jp-CodeMirrorEditor, pre").count() == 0
    choose(page, pacing="wall clock", chunk=100, seconds=1)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("Done: wall clock ended")
    expect(page.locator(".rt-figure img").first).to_be_visible()
    page.locator("button.rt-hear").click()
    plays(page, IN_PANEL)
    for width in (1280, 1920):
        page.set_viewport_size({"width": width, "height": 1000})
        is_faultless(page)
        page.screenshot(path=pictures / f"app-screen-{theme}-{width}.png")
        picture(page, "#rendered_cells", pictures / f"app-{theme}-{width}.png")


def test_results_are_saved_by_the_browser(apps: dict[str, Page], tmp_path: Path) -> None:
    page = apps["light"]
    for button, name in (
        ("Sessions", "wall_clock.jsonl"),
        ("Report", "report.html"),
        ("Figures", "figures.zip"),
        ("Captions", "captions.zip"),
    ):
        with page.expect_download() as saved:
            page.locator(".rt-take button", has_text=button).click()
        assert saved.value.suggested_filename == name
        saved.value.save_as(tmp_path / name)
    assert rtkit.load_session(tmp_path / "wall_clock.jsonl").complete
    assert "lateness.svg" in zipfile.ZipFile(tmp_path / "figures.zip").namelist()


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="this system shows no command lines")
def test_a_page_that_is_closed_ends_its_session_and_its_kernel(
    chromium: Browser, app: str, work: Path
) -> None:
    page = open_page(chromium)
    page.goto(app, wait_until="commit")
    expect(page.locator("button.rt-run")).to_be_enabled()
    choose(page, pacing="wall clock", chunk=100, seconds=70)
    page.locator("button.rt-run").click()
    expect(page.locator(".rt-status")).to_contain_text("s left")
    settings = json.loads(page.locator("#jupyter-config-data").text_content() or "")
    kernel = settings["kernelId"].encode()
    assert is_running(kernel)
    page.close(run_before_unload=True)
    deadline = time.monotonic() + PATIENCE / 1000
    while is_running(kernel):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    *_, last = sorted((work / "notebooks" / "runs").glob("*_library_call_100ms_wall_clock.jsonl"))
    ending = rtkit.load_session(last).ending
    assert ending is not None
    assert ending.how == "stopped"


def is_running(kernel: bytes) -> bool:
    """Whether a process was started for this kernel, as its command line tells."""
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # it has just ended
            if kernel in process.read_bytes():
                return True
    return False
