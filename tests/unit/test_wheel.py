"""The built wheel, installed in a venv of its own, works without the checkout: data, lessons and the command."""

import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Alone, because two builds at the same time would write into the same folder of the checkout.
pytestmark = [pytest.mark.slow, pytest.mark.alone]


def run(*command, cwd):
    done = subprocess.run([*map(str, command)], cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The venv's folder of programs. What the wheel needs comes from the environment that runs the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = run("git", "ls-files", "-co", "--exclude-standard", cwd=ROOT).splitlines()
    for name in filter(lambda name: (ROOT / name).is_file(), listed):  # a copy, because setuptools writes into its tree
        (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / "source" / name)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = [*pip, "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder]
    run(*build, folder / "source", cwd=folder)
    venv.create(folder / "venv")
    programs = folder / "venv" / ("Scripts" if sys.platform == "win32" else "bin")
    python = programs / "python"
    run(*pip, "--python", python, "install", "--quiet", "--no-deps", *folder.glob("*.whl"), cwd=folder)
    packages = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    # a line of a .pth file adds a folder, but not the .pth files in it: the editable install stays outside
    Path(packages, "dependencies.pth").write_text(f"{sysconfig.get_path('purelib')}\n")
    return programs


def test_every_package_is_listed():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    listed = set(project["tool"]["setuptools"]["packages"]) - set(project["tool"]["setuptools"]["package-dir"])
    assert listed == {
        ".".join(path.parent.relative_to(ROOT).parts) for path in (ROOT / "nbhelpers").rglob("__init__.py")
    }


def test_the_wheel_holds_its_own_files(installed, tmp_path):
    code = (
        "import nbhelpers; from pathlib import Path; folder = Path(nbhelpers.__file__).parent; "
        "print(folder, *sorted(str(p.relative_to(folder)) for p in folder.rglob('*') if p.is_file()), sep='\\n')"
    )
    folder, *names = run(installed / "python", "-c", code, cwd=tmp_path).splitlines()
    assert str(ROOT) not in folder
    assert {"py.typed", "serving/page.html", "course/tables/meld.yml", "data/README.md"} <= set(names)
    assert {"notebooks/01_environment.ipynb", "notebooks/profiles.yml", "data/results/meld.jsonl"} <= set(names)


def test_corpora_come_with_the_wheel(installed, tmp_path):
    code = "from nbhelpers import corpora; print([len(corpora.load(x)['train']) for x in ('dialogues', 'reviews')])"
    dialogues, reviews = map(int, run(installed / "python", "-c", code, cwd=tmp_path).strip(" []\n").split(","))
    assert dialogues > 1000
    assert reviews > 500


def test_the_command_runs_a_lesson_from_the_wheel(installed, tmp_path):
    assert "seed=0" in run(installed / "nbhelpers", "list", cwd=tmp_path)
    run(installed / "nbhelpers", "run", "01", "--profile", "smoke", cwd=tmp_path)
    assert list(tmp_path.glob("runs/*/01_environment.ipynb"))
    assert "majority" in run(installed / "nbhelpers", "results", "meld", "--show", cwd=tmp_path)


def test_what_needs_a_checkout_says_so(installed, tmp_path):
    command = [installed / "nbhelpers", "run", "01", "--profile", "smoke", "--record"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 2, done.stdout + done.stderr
    assert "checkout" in done.stderr
    assert len(done.stderr.splitlines()) == 1
