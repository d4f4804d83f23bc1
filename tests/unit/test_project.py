"""The house rules: versions agree, every helper stands alone, nothing points at a machine."""

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
HELPERS = sorted(path for path in (ROOT / "nbhelpers").glob("*.py") if path.name != "__init__.py")
LIGHT = ("metrics", "plots", "corpora", "cleaning")  # these work where torch is not installed


def constraints():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    found = dict(line.split("==") for line in lines)
    assert len(found) == len(lines), "a package is pinned twice"
    return {canonicalize_name(name): Version(version) for name, version in found.items()}


def requirements(*extras):
    wanted = [*PROJECT["dependencies"], *(line for extra in extras for line in EXTRAS[extra])]
    return [Requirement(line) for line in wanted if not line.startswith("nbhelpers")]


def test_every_requirement_is_pinned_within_its_range():
    pins = constraints()
    for requirement in requirements(*EXTRAS):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)]), requirement
    assert pins["torch"] == Version("2.13.0")


def test_all_means_all():
    named = re.findall(r"[\w]+", EXTRAS["all"][0].partition("[")[2])
    assert {*named, "all", "embedded", "deploy"} == set(EXTRAS)
    assert EXTRAS["course"][0] == "nbhelpers[embedded,deploy]"  # it brings them


def test_conda_takes_the_same_versions_as_make():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip = content["dependencies"][0], content["dependencies"][-1]["pip"]
    assert python.replace("python ", "") == PROJECT["requires-python"]
    assert pip == ["--constraint constraints.txt", "--editable .[course,test]"]
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile
    assert "EXTRAS = course,test" in makefile


def test_the_pins_are_what_is_installed():
    import importlib.metadata

    pins = constraints()
    for requirement in requirements("course", "deploy", "embedded", "test"):
        installed = Version(importlib.metadata.version(requirement.name))
        assert Version(installed.public) == pins[canonicalize_name(requirement.name)], requirement.name


def imported(path):
    """Top-level names of everything a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." if node.level else node.module.partition(".")[0]


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.stem)
def test_a_helper_imports_no_sibling(path):
    assert not {"nbhelpers", "."} & set(imported(path))


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.stem)
def test_a_helper_works_alone_in_an_empty_folder(path, tmp_path):
    shutil.copy(path, tmp_path)
    code = (
        f"import doctest, {path.stem} as m; r = doctest.testmod(m); print(r.attempted); raise SystemExit(r.failed > 0)"
    )
    done = subprocess.run([sys.executable, "-P", "-c", f"import sys; sys.path.insert(0, '.'); {code}"], cwd=tmp_path,
                          capture_output=True, text=True, timeout=300, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[-1]) > 0, f"{path.name} has no example"


@pytest.mark.parametrize("name", LIGHT)
def test_these_helpers_do_not_import_torch(name):
    code = (
        f"import sys; from nbhelpers import {name}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", HELPERS, ids=lambda path: path.stem)
def test_public_names_are_explained_and_typed(path):
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or len(node.body) <= 2, f"{path.name}: {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert node.returns is not None, f"{path.name}: {node.name} does not say what it returns"
            assert all(argument.annotation for argument in arguments), (
                f"{path.name}: {node.name} has an untyped argument"
            )


def tracked_texts():
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.splitlines():
        path = ROOT / name
        if path.is_file() and path.suffix != ".png":
            yield name, path.read_text(encoding="utf-8")


def test_nothing_names_a_machine_or_a_package_registry():
    home = re.compile(r"/(?:root|home|Users|work|tmp)/\w|[A-Z]:\\\\Users")
    hosts = re.compile("pypi" + r"\.org|files\.python" + r"hosted|:env:|find-links", re.IGNORECASE)
    for name, text in tracked_texts():
        if name != "tests/unit/test_project.py":
            assert not home.search(text), f"{name}: {home.search(text)[0]}"
            assert not hosts.search(text), f"{name}: {hosts.search(text)[0]}"


def test_readme_fits_a_screen_before_the_lessons_and_names_only_what_exists():
    text = (ROOT / "README.md").read_text()
    assert len(text.partition("<!-- facts -->")[0].splitlines()) <= 25
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
    for target in re.findall(r"make (\w+)", text):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
