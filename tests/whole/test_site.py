"""The site of the documents builds, without a warning, and needs no network to be read."""

from __future__ import annotations

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

import rtkit

ROOT = Path(__file__).parents[2]


class _Page(HTMLParser):
    """What a page links to, what it loads, and the places in it that can be linked to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.places: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if place := given.get("id"):
            self.places.add(place)
        if (target := given.get("src")) or (tag == "link" and (target := given.get("href"))):
            self.loads.append(target)
        elif tag == "a" and (target := given.get("href")):
            self.links.append(target)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, _Page]:
    folder = tmp_path_factory.mktemp("site")
    # Notebooks are executed by their own tests, and by `make docs`.
    options = ["-q", "-W", "--keep-going", "-c", "docs", "-D", "nb_execution_mode=off"]
    built = subprocess.run(
        [sys.executable, "-m", "sphinx", *options, "-d", folder / "trees", ".", folder / "html"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert built.returncode == 0, built.stderr
    pages = (folder / "html").rglob("*.html")
    return {path.resolve(): _Page(path.read_text(encoding="utf-8")) for path in pages}


def test_no_link_is_broken(site: dict[Path, _Page]) -> None:
    broken = []
    for path, page in site.items():
        for target in page.links + page.loads:
            parts = urlsplit(target)
            if parts.scheme:
                continue
            other = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if not other.is_file() or (parts.fragment and parts.fragment not in site[other].places):
                broken.append((path.name, target))
    assert len(site) > len(rtkit.__all__)
    assert broken == []


def test_nothing_comes_from_the_network(site: dict[Path, _Page]) -> None:
    loads = {target for page in site.values() for target in page.loads}
    assert loads
    assert {target for target in loads if urlsplit(target).scheme not in ("", "data")} == set()


def test_every_public_name_has_a_page(site: dict[Path, _Page]) -> None:
    places = {place for page in site.values() for place in page.places}
    assert {name for name in rtkit.__all__ if f"rtkit.{name}" not in places} == set()
