"""The house rules: units stand alone and stay short, versions agree, nothing points at a machine."""

import ast
import graphlib
import multiprocessing
import os
import re
import runpy
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
PACKAGE = ROOT / "nbhelpers"
# a unit is a file or a folder of the ground floor; above it is classifier/, which joins units, and above that course/
UPPER_FLOORS = ("classifier", "course")
UNITS = sorted(
    path
    for path in PACKAGE.iterdir()
    if (path.suffix == ".py" and path.name != "__init__.py")
    or (path.is_dir() and path.name not in (*UPPER_FLOORS, "__pycache__"))
)
MODULES = sorted(PACKAGE.rglob("*.py"))
each_unit = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)
each_module = pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
MAX_FILE_LINES, MAX_FUNCTION_LINES, MAX_COMPLEXITY = 250, 60, 12
LIGHT = (
    "abstention",
    "active_learning",
    "alerts",
    "long_texts",
    "out_of_scope",
    "tagging",
    "metrics",
    "plots",
    "robustness",
    "corpora",
    "cleaning",
    "dialogue",
    "serving",
    "exported",
)  # these work where torch is not installed


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
    assert {*named, "all", "lessons", "embedded", "multilingual", "deploy", "explain"} == set(EXTRAS)
    assert EXTRAS["course"][0] == "nbhelpers[lessons]"  # it brings them
    assert EXTRAS["lessons"][0] == "nbhelpers[embedded,multilingual,deploy,explain]"


def test_conda_takes_the_same_versions_as_make():
    content = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip = content["dependencies"][0], content["dependencies"][-1]["pip"]
    assert python.replace("python ", "") == PROJECT["requires-python"]
    assert pip == ["--constraint constraints.txt", "--editable .[course,test]"]
    makefile = (ROOT / "Makefile").read_text()
    assert "--constraint constraints.txt" in makefile
    assert "EXTRAS = course,site,test" in makefile


def test_the_pins_are_what_is_installed():
    import importlib.metadata

    pins = constraints()
    for requirement in requirements("course", "lessons", "deploy", "embedded", "test"):
        installed = Version(importlib.metadata.version(requirement.name))
        assert Version(installed.public) == pins[canonicalize_name(requirement.name)], requirement.name


def files(unit):
    """The Python files of a unit."""
    return [unit] if unit.is_file() else sorted(unit.rglob("*.py"))


def imports(path):
    """(level, module, names) of everything a file imports, wherever in it; level 0 is an absolute import."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module or "", [alias.name for alias in node.names]


@each_unit
def test_no_unit_imports_another_or_the_course(unit):
    for path in files(unit):
        for level, module, _ in imports(path):
            assert module.partition(".")[0] != "nbhelpers", f"{path.name} imports {module}"
            # "from ..metrics import" would leave the folder
            assert level <= (0 if unit.is_file() else len(path.relative_to(unit).parts)), path.name
        assert "import_module" not in path.read_text(encoding="utf-8"), path.name


def test_the_classifier_does_not_import_the_course():
    for path in (PACKAGE / "classifier").rglob("*.py"):
        for _, module, names in imports(path):
            assert "course" not in [*module.split("."), *names], path.name


# Processes that are forked from one that has imported what most units need, which takes most of the time of this test
IMPORTED = multiprocessing.get_context("forkserver" if hasattr(os, "fork") else "spawn")
if hasattr(os, "fork"):
    IMPORTED.set_forkserver_preload(["torch", "transformers", "sklearn.metrics", "matplotlib.pyplot", "pandas"])


@pytest.mark.slow
@each_unit
def test_a_unit_works_alone_under_another_name(unit, tmp_path):
    """Copied into an empty folder, with the examples of its docstrings."""
    name = f"copied_{unit.stem}"
    if unit.is_file():
        shutil.copy(unit, tmp_path / f"{name}.py")
    else:
        shutil.copytree(unit, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    code = (
        "import doctest, importlib, os, pkgutil, sys\n"
        f"os.chdir({str(tmp_path)!r}); sys.path.insert(0, '.'); sys.stdout = open('printed', 'w')\n"
        f"unit = importlib.import_module({name!r})\n"
        "inner = pkgutil.walk_packages(getattr(unit, '__path__', []), unit.__name__ + '.')\n"
        "modules = [unit, *(importlib.import_module(part.name) for part in inner)]\n"
        "results = [doctest.testmod(module) for module in modules]\n"
        "assert not [m for m in sys.modules if m.partition('.')[0] == 'nbhelpers']\n"
        "print(sum(r.attempted for r in results)); sys.stdout.flush()\n"
        "raise SystemExit(sum(r.failed for r in results) > 0)"
    )
    (tmp_path / "run.py").write_text(code)
    process = IMPORTED.Process(target=runpy.run_path, args=(str(tmp_path / "run.py"),))
    process.start()
    process.join(timeout=300)
    printed = (tmp_path / "printed").read_text()
    assert process.exitcode == 0, printed
    assert int(printed.split()[-1]) > 0, f"{unit.name} has no example"


@each_unit
def test_a_unit_says_how_to_use_it(unit):
    """Its docstring is what somebody reads who found only this file or folder."""
    path = unit if unit.is_file() else unit / "__init__.py"
    assert len((ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split()) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("name", LIGHT)
def test_these_units_do_not_import_torch(name):
    code = (
        f"import sys; from nbhelpers import {name}; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("path", [path for unit in UNITS for path in files(unit)],
                         ids=lambda path: str(path.relative_to(PACKAGE)))  # fmt: skip
def test_public_names_are_explained_and_typed(path):
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            assert ast.get_docstring(node) or len(node.body) <= 2, f"{path.name}: {node.name} has no docstring"
        if isinstance(node, ast.FunctionDef):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            assert node.returns is not None, f"{path.name}: {node.name} does not say what it returns"
            assert all(argument.annotation for argument in arguments), (
                f"{path.name}: {node.name} has an untyped argument"
            )


@each_module
def test_files_are_short(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


@each_module
def test_functions_are_short(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            docstring = first.end_lineno - first.lineno + 1 if ast.get_docstring(node, clean=False) is not None else 0
            lines = node.end_lineno - node.lineno + 1 - docstring
            assert lines <= MAX_FUNCTION_LINES, f"{node.name} has {lines} lines without its docstring"


def test_functions_are_simple():
    """`make test` runs ruff, which measures the complexity; here is what it must be told."""
    ruff = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]["lint"]
    assert "C901" in ruff["select"]
    assert ruff["mccabe"]["max-complexity"] <= MAX_COMPLEXITY
    assert not [path for path in MODULES if "C901" in path.read_text(encoding="utf-8")], "no exceptions"


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imported_modules(path, known):
    """The project's own modules that a file imports, with the packages they lie in (but not those around the file)."""
    name = module_name(path)
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for level, module, names in imports(path):
        base = ".".join([*package.split(".")[: len(package.split(".")) - level + 1], *filter(None, [module])])
        for target in [f"{base if level else module}.{inner}".strip(".") for inner in names] or [module]:
            while target and target not in known:
                target = target.rpartition(".")[0]
            while target and not f"{name}.".startswith(f"{target}."):
                yield target
                target = target.rpartition(".")[0]


def test_there_is_no_import_circle():
    known = {module_name(path) for path in MODULES}
    graph = {module_name(path): set(imported_modules(path, known)) for path in MODULES}
    assert "nbhelpers.course.lessons" in graph["nbhelpers.course.cli"], "this test no longer sees imports"
    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


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
    for target in re.findall(r"(?:^    |`)make (\w+)", text, re.M):
        assert f"\n{target}:" in (ROOT / "Makefile").read_text()
