"""Lessons in JupyterLab: explorers, exercises and quizzes react, and the browser reports no error."""

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import papermill
import pytest
from playwright.sync_api import expect

from nbhelpers.course import lessons


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A copy of the lessons, to be run and changed."""
    return shutil.copytree(lessons.NOTEBOOKS, tmp_path_factory.mktemp("course") / "notebooks")


@pytest.fixture(scope="module")
def jupyterlab(folder, tmp_path_factory):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = [f"--port={port}", "--IdentityProvider.token=", f"--ServerApp.root_dir={folder}"]
    options.append("--LabApp.expose_app_in_browser=True")  # so that a test can open one lesson after another
    home = tmp_path_factory.mktemp("jupyter")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", *options],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={
            **os.environ,
            "JUPYTER_CONFIG_DIR": str(home),
            "JUPYTER_DATA_DIR": str(home / "data"),
            "NBHELPERS_RUNS": str(home / "runs"),  # the progress in the exercises begins with none
        },
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


def new_page(browser, errors):
    """A page as tall as a lesson, because JupyterLab draws only what is in view. It adds the errors it reports."""
    page = browser.new_page(viewport={"width": 1200, "height": 20000})
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    return page


@pytest.fixture
def page(browser):
    errors = []
    page = new_page(browser, errors)
    yield page
    page.close()
    assert not errors


@pytest.fixture(scope="module")
def lab(browser, jupyterlab):
    """A page with JupyterLab and no file, and the errors that it reported. Loading it takes longer than a lesson."""
    errors = []
    page = new_page(browser, errors)
    page.goto(f"{jupyterlab}/lab?reset")
    page.wait_for_function("window.jupyterapp?.commands.hasCommand('docmanager:open')", timeout=60_000)
    yield page, errors
    page.close()


@pytest.mark.parametrize("lesson", lessons.all_lessons(), ids=lambda lesson: lesson.path.stem)
def test_lesson_opens(lab, lesson):
    page, errors = lab
    errors.clear()
    figures = lesson.path.read_text(encoding="utf-8").count('"image/png": "')
    page.evaluate("path => { jupyterapp.commands.execute('docmanager:open', {path}) }", lesson.path.name)
    notebook = page.locator(".jp-NotebookPanel:not(.lm-mod-hidden)")
    expect(notebook.locator("h1").first).to_contain_text(lesson.title, timeout=60_000)
    drawn = "panel => [...panel.querySelectorAll('.jp-OutputArea img')].filter(x => x.naturalWidth > 0).length"
    deadline = time.monotonic() + 60
    while notebook.evaluate(drawn) < figures:
        assert time.monotonic() < deadline, "not all figures are drawn"
        time.sleep(0.1)
    assert not errors


def open_with_small_settings(page, jupyterlab, folder, number):
    """Open a lesson with the parameters of the tests, and run all its cells."""
    [lesson] = lessons.select([number], lessons.all_lessons())
    parameters = lessons.profile_parameters("smoke", lesson)
    options = {"prepare_only": True, "kernel_name": "python3", "language": "python", "progress_bar": False}
    papermill.execute_notebook(lesson.path, folder / f"try_{number}.ipynb", parameters, **options)
    page.goto(f"{jupyterlab}/doc/tree/try_{number}.ipynb")
    page.wait_for_selector(".jp-Notebook h1", timeout=60_000)
    page.get_by_text("Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def type_and_run(page, text, code):
    """Replace the code of the cell that has this text, run it, and return the cell."""
    cell = page.locator(".jp-CodeCell", has_text=text).first
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    return cell


def test_lesson_3_a_sentence_an_explorer_and_a_quiz(page, jupyterlab, folder, screenshots):
    open_with_small_settings(page, jupyterlab, folder, "3")
    threshold = page.locator(".widget-hslider", has_text="threshold")
    explorer = page.locator(".widget-vbox", has=threshold).last
    expect(explorer).to_contain_text("From 0", timeout=300_000)
    before = explorer.locator(".widget-html").inner_text()
    threshold.get_by_role("slider").press("End")
    # the kernel answers when it has run the cells that follow
    expect(explorer.locator(".widget-html")).not_to_contain_text(before, timeout=300_000)
    expect(explorer.locator(".widget-html")).to_contain_text("are called")
    explorer.screenshot(path=screenshots / "lesson_3_threshold.png")
    question = page.locator(".widget-vbox", has=page.locator(".widget-radio-box")).first
    expect(question).to_be_visible(timeout=300_000)
    question.get_by_role("radio").first.check()
    expect(question).to_contain_text(re.compile(r"(Right|No)\. \w+"))


def test_lesson_6_explorer_exercise_quiz_and_a_second_run(page, jupyterlab, folder, screenshots):
    open_with_small_settings(page, jupyterlab, folder, "6")
    slider = page.locator(".widget-hslider", has_text="turns before")
    explorer = page.locator(".widget-vbox", has=slider)
    output = explorer.locator(".widget-html")
    expect(output).to_contain_text("Turn ", timeout=180_000)
    turn = int(re.search(r"Turn (\d+) of dialogue", output.inner_text())[1])  # with all turns before it
    turns_read, moved = [], []
    for key, number in (("Home", 0), ("ArrowRight", 1), ("End", turn - 1)):
        slider.get_by_role("slider").press(key)
        expect(output).to_contain_text(f"; {number} before, 0 after: ", timeout=60_000)
        turns_read.append(output.locator("tbody tr").count())
        found = re.search(r"moves most, by (\d+)", output.inner_text())
        moved.append(int(found[1]) if found else 0)
    explorer.screenshot(path=screenshots / "lesson_6_sliders.png")
    assert turns_read == [1, 2, turn]
    assert moved[0] == 0
    assert max(moved) > 0

    # an exercise: wrong, wrong again with a longer hint, and right
    answer = "def window(i, dialogue_ids, past, future):\n    return {}\n\n\ncheck('06-window', window)"
    cell = page.locator(".jp-CodeCell", has_text="06-window").first  # the quiz has a question of that name
    expect(cell).to_contain_text("Not attempted yet")
    for tries in (1, 2):
        type_and_run(page, "06-window", answer.format("[i]"))
        expect(cell).to_contain_text("Not yet.", timeout=60_000)
        expect(cell.get_by_text("Hint: ")).to_be_visible()
        assert cell.inner_text().count("Hint: ") == tries
    rows = "range(max(0, i - past), min(len(dialogue_ids), i + future + 1))"
    type_and_run(page, "06-window", answer.format(f"[j for j in {rows} if dialogue_ids[j] == dialogue_ids[i]]"))
    expect(cell).to_contain_text("Right!", timeout=60_000)
    expect(cell).to_contain_text("Exercises done: 1 of")
    cell.screenshot(path=screenshots / "lesson_6_exercise.png")

    page.get_by_text("Kernel", exact=True).click()
    page.get_by_text("Restart Kernel and Run All Cells").click()
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    last = page.locator(".jp-CodeCell").last.locator(".jp-InputPrompt")
    expect(last).to_have_text("[*]:", timeout=30_000)
    expect(last).to_have_text(re.compile(r"\[\d+\]:"), timeout=180_000)
    expect(cell).to_contain_text("Right!")
    expect(explorer.locator(".widget-html")).to_contain_text("Turn ")
