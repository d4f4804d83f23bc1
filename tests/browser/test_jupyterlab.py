"""Every lesson opens in JupyterLab: title and figures are drawn, and the browser reports no error."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import pytest
from playwright.sync_api import sync_playwright

from nbhelpers.course import lessons


@pytest.fixture(scope="module")
def jupyterlab(tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={lessons.NOTEBOOKS}"]
    home = tmp_path_factory.mktemp("jupyter")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**os.environ, "JUPYTER_CONFIG_DIR": str(home), "JUPYTER_DATA_DIR": str(home / "data")},
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 60
        while not answers(f"http://127.0.0.1:{port}/api"):
            assert time.monotonic() < deadline, "JupyterLab did not start"
            time.sleep(0.5)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(timeout=20)


def answers(address):
    try:
        return urllib.request.urlopen(address, timeout=5).status == 200
    except (urllib.error.URLError, OSError):
        return False


@pytest.mark.parametrize("lesson", lessons.all_lessons(), ids=lambda lesson: lesson.path.stem)
def test_lesson_opens(chromium, jupyterlab, lesson):
    figures = lesson.path.read_text(encoding="utf-8").count('"image/png": "')
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=chromium, args=options)
        page = browser.new_page(viewport={"width": 1200, "height": 20000})  # JupyterLab draws only what is in view
        errors = []
        page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
        page.goto(f"{jupyterlab}/doc/tree/{lesson.path.name}")
        page.wait_for_selector(".jp-Notebook h1", timeout=60_000)
        assert lesson.title in page.locator(".jp-Notebook h1").first.inner_text()
        drawn = "() => [...document.querySelectorAll('.jp-OutputArea img')].filter(x => x.naturalWidth > 0).length"
        page.wait_for_function(f"({drawn})() >= {figures}", timeout=60_000)
        browser.close()
    assert not errors
