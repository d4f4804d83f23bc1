"""The workflow for hosted CI: its syntax, and that its commands exist here."""

import re
from pathlib import Path

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
