"""Every lesson through the runner at the smoke profile, and the setup cell where the course is not installed."""

import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from nbhelpers.course import lessons

TOOL = Path(sys.executable).with_name("nbhelpers")


# Two layers instead of six take a third of the time. The whole encoder is in the lessons that need six layers, that
# look into them, or that have no parameter for it. It is also in lessons 3 and 6 when a browser runs them.
WHOLE_ENCODER = {"01", "02", "07", "10", "13"}


@pytest.mark.parametrize("lesson", lessons.all_lessons(), ids=lambda lesson: lesson.path.stem)
def test_lesson_runs(lesson, tmp_path, shallow_encoder):
    before = lesson.path.read_bytes()
    encoder = [] if lesson.number in WHOLE_ENCODER else ["-p", f"encoder={shallow_encoder}"]
    done = subprocess.run([TOOL, "run", lesson.number, "--profile", "smoke", *encoder, "--output", tmp_path],
                          cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert lesson.path.read_bytes() == before
    (summary,) = tmp_path.glob("*/summary.json")
    (result,) = json.loads(summary.read_text())["lessons"]
    assert result["headline"]
    assert result["peak_gib"] > 0.1


def test_lesson_3_shows_what_its_prose_says():
    """On the committed copy: loop and Trainer agree, reload and resume are exact."""
    cells = json.loads((lessons.NOTEBOOKS / "03_baseline.ipynb").read_text(encoding="utf-8"))["cells"]
    printed = "".join(
        "".join(output.get("text", [])) for cell in cells if cell["cell_type"] == "code" for output in cell["outputs"]
    )
    assert "largest difference of the loss: 0.0e+00" in printed
    assert "largest difference of the logits: 0.0e+00" in printed
    assert "largest difference of the weights in the end: 0.0e+00" in printed


def test_setup_cell_finds_the_checkout_and_keeps_torch_and_numpy(tmp_path):
    """Run it as on Colab: nbhelpers not importable, the checkout in a folder of that name; pip is recorded, not run."""
    cell = nbformat.read(lessons.NOTEBOOKS / "01_environment.ipynb", 4).cells[1].source
    (tmp_path / "nbhelpers").symlink_to(lessons.ROOT, target_is_directory=True)
    script = (
        "import subprocess, sys\n"
        "calls = []\n"
        "subprocess.check_call = lambda command: calls.append([*command, *open(command[6]).read().split()])\n"
        f"sys.path[:] = [p for p in sys.path if 'nbhelpers' not in p and p != {str(lessons.ROOT)!r}]\n"
        "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f)]\n"
        f"exec({cell!r})\nexec({cell!r})\n"
        "from nbhelpers import environment, metrics\n"
        "print(len(calls), calls[0][9:])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "\n1 ['torch==2.13.0" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["nbhelpers"]
