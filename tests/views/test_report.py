"""The report: one file, nothing from elsewhere, nothing secret, nothing that runs but its own."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import pytest
from facts import CALL, call, session, turn
from playwright.sync_api import Page, sync_playwright

import rtkit
from rtkit.session import Session
from rtkit.views.glossary import FORMULAS
from rtkit.views.interactive import SCRIPT
from rtkit.views.report import FIGURES, report

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
EVIL = "<script>alert('x')</script> & $\\foo \"quoted\".wav"
TEN = [0.001 * i for i in range(10)]
HOST = {"platform": "Linux-6.1-x86_64", "python": "CPython 3.12.1", "rtkit": "0.1.0"}
SVG = "data:image/svg+xml;base64,"
VOID = {"meta", "img", "br", "link", "input"}


class Read(HTMLParser):
    """What a page holds: its texts, images, and every address; and whether its tags match."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.texts: list[str] = []
        self.images: list[str] = []
        self.scripts: list[str] = []
        self.addresses: list[str] = []
        self._open: list[str] = []
        self.feed(page)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        assert not any(name.startswith("on") for name in given)
        self.addresses += [str(given[name]) for name in ("src", "href", "action") if name in given]
        if tag == "img":
            self.images.append(str(given["src"]))
            assert given["alt"]
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif self._open and self._open[-1] != "style":
            self.texts.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


def hosted(one: Session, **changes: Any) -> Session:
    return replace(one, host=HOST, settings=replace(one.settings, **changes))


@pytest.fixture(scope="module")
def calls() -> dict[str, Session]:
    return {
        "yesterday/fixed_sleep": hosted(call(12, pacing="fixed_sleep", work=0.005)),
        "today/wall_clock": hosted(call(12, pacing="wall_clock", work=0.005)),
    }


@pytest.fixture(scope="module")
def page(calls: dict[str, Session], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return report(calls, tmp_path_factory.mktemp("new") / "deeper" / "report.html")


def read(path: Path) -> Read:
    return Read(path.read_text(encoding="utf-8"))


def test_it_says_whether_the_figures_may_be_used_and_what_to_do(page: Path) -> None:
    text = read(page).text
    assert "yesterday/fixed_sleep not valid lateness p99 is" in text
    assert "Use pacing='wall_clock'." in text
    assert "today/wall_clock valid" in text


def test_it_holds_the_summary_the_settings_the_host_and_the_versions(
    page: Path, calls: dict[str, Session]
) -> None:
    found = read(page)
    for row in rtkit.summarize(calls).cells():
        assert [cell for cell in row if cell and cell not in found.text] == []
    for words in ("chunk 0.1 s", "service: delay 0.15 s", "pacing fixed_sleep wall_clock"):
        assert words in found.text
    assert "python CPython 3.12.1" in found.text
    assert f"matplotlib {matplotlib.__version__}" in found.text


def test_each_figure_is_there_with_what_it_means(page: Path) -> None:
    found = read(page)
    assert len(found.images) == len(FIGURES) == 5
    for image, (_, _, meaning) in zip(found.images, FIGURES, strict=True):
        drawn = ElementTree.fromstring(base64.b64decode(image.removeprefix(SVG)))
        assert drawn.tag == "{http://www.w3.org/2000/svg}svg"
        assert meaning in found.text


def test_nothing_comes_from_elsewhere(page: Path) -> None:
    found = read(page)
    assert "link" not in found.tags
    assert all(address.startswith(SVG) for address in found.addresses)
    assert "url(" not in page.read_text(encoding="utf-8")


def test_nothing_runs_but_its_own_script(page: Path) -> None:
    data, script = read(page).scripts
    assert script == SCRIPT
    assert [one["name"] for one in json.loads(data)["sessions"]] == [
        "yesterday/fixed sleep",
        "today/wall clock",
    ]
    allowed = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    text = page.read_text(encoding="utf-8")
    assert "default-src 'none'; img-src data:; media-src data:" in text
    assert f"script-src 'sha256-{allowed}'\">" in text


def test_it_holds_the_date_the_words_and_how_each_figure_is_computed(
    page: Path, calls: dict[str, Session]
) -> None:
    text = read(page).text
    assert f"2 sessions, {calls['today/wall_clock'].started[:10]}." in text
    assert "good morning this is the public library" in text
    for word, formula in FORMULAS.items():
        assert f"{word} {formula}" in text


def test_with_its_clip_it_is_heard_in_a_few_kilobytes_a_second(
    calls: dict[str, Session], page: Path, tmp_path: Path
) -> None:
    heard = report(calls, tmp_path / "a.html", clip=rtkit.open_clip(CALL, seconds=12))
    more = heard.stat().st_size - page.stat().st_size
    assert 3_000 < more / 12 < 333_000 / 60
    assert json.loads(read(heard).scripts[0])["audio"].startswith("data:audio/")


def test_a_long_session_is_not_most_of_its_page(
    calls: dict[str, Session], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("rtkit.views.report.CHUNKS", 100)
    found = read(report(calls, tmp_path / "a.html"))
    assert found.scripts == []
    assert "rtkit.timeline(session)" in found.text


def test_names_are_shown_and_never_become_part_of_the_page(tmp_path: Path) -> None:
    one = hosted(session(TEN, ending=None), recording=EVIL, work=EVIL, service={"name": EVIL})
    one = replace(one, host={EVIL: EVIL}, started=EVIL)
    found = read(report({EVIL: one}, tmp_path / "a.html", title=EVIL))
    assert found.scripts[1:] == [SCRIPT]
    assert found.text.count("<script>alert('x')</script>") >= 8


def test_nothing_secret_is_in_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSEMBLYAI_API_KEY", "the-key-itself")
    service = {
        "name": "AssemblyAI",
        "parameters": {"keyterms": ["a word"], "token": "the-token", "x": {"Api_Key": "another"}},
    }
    said = turn(0.9, ("mellifluous", 0.0, 0.15), final=True)
    told = hosted(session(TEN, said), service=service)
    assert "mellifluous" in report(told, tmp_path / "b.html").read_text(encoding="utf-8")
    path = report(told, tmp_path / "a.html", transcript=False)
    text = path.read_text(encoding="utf-8")
    assert "a word" in text
    for secret in ("the-key-itself", "the-token", "another", "mellifluous", str(tmp_path)):
        assert secret not in text


def test_a_failure_stands_with_its_sentence(tmp_path: Path) -> None:
    one = session(TEN, ending="failed")
    assert one.ending is not None
    one = replace(one, ending=replace(one.ending, error="The service is out of order."))
    text = read(report(one, tmp_path / "a.html")).text
    assert "failed after 10 chunks. Run it again to its end." in text
    assert "failed The service is out of order." in text


@pytest.mark.parametrize("sessions", [session(), [session(TEN)] * 3, {"a": session([0.1])}])
def test_a_report_of_little_is_written(tmp_path: Path, sessions: Any) -> None:
    assert len(read(report(sessions, tmp_path / "a.html")).images) == 5


def test_a_dark_notebook_makes_the_same_figures(
    calls: dict[str, Session], page: Path, tmp_path: Path
) -> None:
    with matplotlib.rc_context({"figure.facecolor": "black", "text.color": "white"}):
        other = report(calls, tmp_path / "a.html")
        assert matplotlib.rcParams["text.color"] == "white"
    assert read(other).images == read(page).images


def test_a_report_of_nothing_or_to_a_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one session"):
        report({}, tmp_path / "a.html")
    with pytest.raises(ValueError, match=r"is a folder; give a file, such as .*report\.html"):
        report(session(TEN), tmp_path)


# In a browser.

WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
LIGHTNESS = """() => {
  const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/[0-9.]+/g).map(Number);
  return (r + g + b) / 765;
}"""


def test_it_opens_in_light_and_dark_on_any_screen_and_on_paper(page: Path) -> None:
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip("there is no Chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        shown: Page = browser.new_page(color_scheme="light")
        complaints: list[str] = []
        requests: list[str] = []
        shown.on("console", lambda message: complaints.append(message.text))
        shown.on("pageerror", lambda error: complaints.append(str(error)))
        shown.on("request", lambda request: requests.append(request.url))
        shown.goto(page.as_uri())
        sizes = shown.evaluate("[...document.images].map(i => i.complete && i.naturalWidth)")
        assert len(sizes) == 5
        assert all(width > 500 for width in sizes)
        assert shown.evaluate(LIGHTNESS) > 0.9
        shown.locator("[data-row=turns]").first.focus()
        shown.keyboard.press("ArrowRight")
        assert "together" in shown.locator(".rt-detail").inner_text()
        for width in (1280, 400):
            shown.set_viewport_size({"width": width, "height": 800})
            assert shown.evaluate(WIDER) == 0
        shown.emulate_media(color_scheme="dark")
        assert shown.evaluate(LIGHTNESS) < 0.2
        shown.emulate_media(media="print", color_scheme="dark")
        assert shown.evaluate(LIGHTNESS) > 0.9  # ink is for letters
        assert shown.pdf(format="A4").startswith(b"%PDF")
        browser.close()
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []


def test_a_clip_that_is_left_out_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=2)
    session = rtkit.simulate(clip)
    page = rtkit.report(session, tmp_path / "a.html", clip=clip, transcript=False)
    assert "The sound is left out" in page.read_text(encoding="utf-8")
    page = rtkit.report(session, tmp_path / "b.html", transcript=False)
    assert "The sound" not in page.read_text(encoding="utf-8")
    monkeypatch.setattr("rtkit.views.report.CHUNKS", 5)
    page = rtkit.report(session, tmp_path / "c.html", clip=clip)
    assert "The timeline and the sound are too long" in page.read_text(encoding="utf-8")
