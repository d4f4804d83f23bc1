"""The workflow for hosted CI: its syntax, and that its commands exist here."""

import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
JOBS = WORKFLOW["jobs"]
SCRIPTS = "\n".join(step["run"] for job in JOBS.values() for step in job["steps"] if "run" in step)


def test_the_workflow_covers_the_promised_systems_and_versions():
    matrix = JOBS["fast-tests"]["strategy"]["matrix"]
    assert {name.partition("-")[0] for name in matrix["os"]} == {"ubuntu", "windows", "macos"}
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    entries = {*matrix["versions"], *(entry["versions"] for entry in matrix["include"])}
    assert {"constraints.txt", "newest"} <= entries
    for name in entries - {"newest"}:
        assert (ROOT / name).is_file(), name


def test_the_commands_of_the_workflow_exist():
    targets = re.findall(r"\bmake (\w+)", SCRIPTS)
    assert targets == ["test"]
    assert all(re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.M) for target in targets)
    for path, name in re.findall(r"(tests/\S+\.py)::(\w+)", SCRIPTS):
        assert f"def {name}(" in (ROOT / path).read_text()
    marks = set(re.findall(r"not (\w+)", SCRIPTS))
    assert marks == {"slow", "alone"}  # those of pyproject.toml


@pytest.mark.skipif(os.name == "nt", reason="the Makefile is for Linux and macOS")
def test_make_lab_opens_the_first_lesson_also_for_root():
    """JupyterLab does not start for root, as in a container, unless it is told to."""
    # Without the variables of the `make test` that may have started this, for one of them adds lines to the output.
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(["make", "--dry-run", "lab"], cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    command = done.stdout.splitlines()[-1].split()
    assert command[1:3] == ["lab", "notebooks/01_environment.ipynb"]
    assert ("--allow-root" in command) == (os.getuid() == 0)
