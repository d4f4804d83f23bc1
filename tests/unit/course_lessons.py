"""The command, and small lessons for the tests of it and of the runner."""

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from nbhelpers.course import cli

PARAMETERS = new_code_cell('seed = 0\nrate = 0.5\nname = "x"\nfast = False', metadata={"tags": ["parameters"]})


def write_lesson(folder, name, *cells):
    """Write a notebook with a title, the parameters, and these code cells."""
    notebook = new_notebook(cells=[new_markdown_cell(f"# {name}"), PARAMETERS, *map(new_code_cell, cells)])
    nbformat.write(notebook, folder / f"{name}.ipynb")


def write_course(folder):
    """Three lessons: the first passes, the second fails in its fourth cell, the third sleeps when told to."""
    folder.mkdir()
    headline = "from nbhelpers.course.headline import headline\nheadline('seed seen', seed)"
    write_lesson(folder, "01_good", "memory = b'x' * 300_000_000", headline)
    write_lesson(folder, "02_bad", "x = 1", "y = x / 0  # the fault")
    write_lesson(folder, "03_slow", "import time\nif name == 'sleep':\n    time.sleep(600)", headline)
    (folder / "profiles.yml").write_text("default: {}\nother:\n  all: {seed: 5}\n  '03': {seed: 6}\n")


def start_command(course, *arguments, **options):
    """Start `nbhelpers` on the lessons in the folder `course`, in the folder around it."""
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"  # a background job ignores Ctrl+C
        "import pathlib, sys; from nbhelpers.course import cli, paths;"
        "paths.NOTEBOOKS = pathlib.Path(sys.argv.pop(1)); cli.main()"
    )
    return subprocess.Popen(
        [sys.executable, "-c", code, str(course), *arguments],
        cwd=course.parent,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "COLUMNS": "120"},
        **options,
    )


def run_command(course, *arguments):
    """(exit code, stdout, stderr) of `nbhelpers` on the lessons in the folder `course`."""
    process = start_command(course, *arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def nbhelpers(*arguments, folder):
    """(exit code, stdout, stderr) of the command, run in a folder. In this process, because torch is imported in it."""
    out, err = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["nbhelpers", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
    return ended.value.code or 0, out.getvalue(), err.getvalue()
