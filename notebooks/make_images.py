"""Make the pictures of the docs again, from a real run: python notebooks/make_images.py

Needs rtkit[test] and Chromium. A busy host makes chunks late, and then the pictures say so.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Error, sync_playwright

import rtkit

HERE = Path(__file__).parent
IMAGES = HERE / "images"
PATIENCE = 120_000  # milliseconds


def main() -> None:
    clip = rtkit.open_clip(rtkit.bundled()[0], seconds=20)
    sessions = rtkit.run(rtkit.compare(clip, chunk=0.1, work=0.005))
    print(rtkit.summarize(sessions))
    rtkit.plot_comparison(sessions).savefig(IMAGES / "comparison.png", dpi=150)
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(HERE / "panel.ipynb", folder)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        options = ["--no-browser", f"--port={port}", "--template=lab", "panel.ipynb"]
        voila = subprocess.Popen([sys.executable, "-m", "voila", *options], cwd=folder)
        try:
            panel(f"http://127.0.0.1:{port}/")
        finally:
            voila.terminate()
            voila.wait()


def panel(address: str) -> None:
    """A comparison in the panel, and why one turn took so long."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1500}, device_scale_factor=1.5)
        page.set_default_timeout(PATIENCE)
        for _ in range(60):
            try:
                page.goto(address)
                break
            except Error:  # it has not begun to listen
                time.sleep(1)
        page.locator("button.rt-run").click()
        page.locator(".rt-status", has_text="Done").wait_for()
        page.locator(".rt-timeline [data-row=turns]").first.focus()
        for _ in range(4):
            page.keyboard.press("ArrowRight")
        shown = page.locator(".rt-panel").bounding_box()
        detail = page.locator(".rt-detail").bounding_box()
        assert shown is not None
        assert detail is not None
        shown["height"] = detail["y"] + detail["height"] - shown["y"] + 8
        page.screenshot(path=IMAGES / "panel.png", clip=shown)
        browser.close()


if __name__ == "__main__":
    main()
