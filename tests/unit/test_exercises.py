"""Exercises: right answers pass in any form, mistakes get their explanation, and the lessons' solutions are right."""

import copy
import doctest
import json
import random
import re
import time

import jupytext
import numpy as np
import pandas as pd
import pytest
import torch

from nbhelpers.course import build, exercises, paths
from nbhelpers.course.exercises import checking, kinds, running
from nbhelpers.course.exercises import exercise as exercise_module

SOLUTION = re.compile(r"<summary>Solution</summary>\n\n```python\n(.*?)```", re.DOTALL)
CONFUSION = pd.DataFrame(  # recall: 0.6, 0.1, 0.25, 1, 0.5; precision: 0.83, 0.02, 0.5, 1, 1
    [[60, 40, 0, 0, 0], [8, 1, 1, 0, 0], [3, 0, 1, 0, 0], [0, 0, 0, 9, 0], [1, 0, 0, 0, 1]],
    index=["neutral", "joy", "fear", "anger", "disgust"],
)
PASSES = np.array([[[0.5, 0.5], [0.9, 0.1]], [[0.3, 0.7], [0.2, 0.8]]])  # [passes, texts, classes]
SIZES = pd.DataFrame(
    {"MiB": [86.0, 86.0, 23.0, 43.0], "ms per example": [9.0, 5.0, 4.0, 6.0]}, index=["torch", "onnx", "int8", "bf16"]
)
CHECKS = pd.DataFrame(
    {
        "failures": [9, 5, 2, 1, 0],
        "failure_rate": [0.1, 0.5, 0.2, 0.3, 0.0],
        "high": [0.2, 0.6, 0.4, 0.7, 0.1],
        "mean_abs_change": [0.1, 0.1, 0.3, 0.1, 0.0],
    },
    index=["typos", "names swapped", "upper case", "numbers changed", "final period dropped"],
)
LAYERS = pd.DataFrame(
    {"before": [60.0, 20.0, 50.0, 40.0, 30.0], "after": [66.0, 60.0, 68.0, 73.0, 72.0]},
    index=["lower", "upper", "every second", "middle", "both ends"],
)
# What the lessons pass to `check` after a value
GIVEN = {
    "03-weakest": (CONFUSION,),
    "04-percent": ({"total": 1000, "trainable": 60, "without head": 20},),
    "05-passes": (PASSES,),
    "05-balance": (0.9, 0.7, 0.2),
    "06-moved": ([0.35, 0.4, 0.2, 0.05], [0.05, 0.25, 0.38, 0.32], ["neutral", "joy", "fear", "anger"]),
    "07-smaller": (SIZES,),
    "07-capacity": ({1: 0.004, 8: 0.011, 32: 0.035},),
    "08-recall": ([0, 0, 0, 0, 1, 1, 1, 1], [[z, 0] for z in (3, 3, 3, 1, -1, 1, 1, 3)], [90, 10]),
    "09-most": (CHECKS,),
    "10-size": ({"layers": 6, "embeddings": 11_900_000, "each layer": 1_774_464, "rest": 3_080},),
    "10-layers": (LAYERS,),
    "15-wrong": (
        [0.9, 0.2, 0.8, 0.1, 0.7, 0.6, 0.9],
        ["answered", *["near"] * 2, *["far"] * 2, "near", "answered"],
        0.5,
    ),
    "17-updates": (50,),
    "13-fertility": (pd.DataFrame({"tokens": [40, 188], "per character": [0.49, 2.61]}, ["English", "Hindi"]), "Hindi"),
    "11-noise": ([0.70, 0.74, 0.71, 0.75], [0.74, 0.75, 0.75, 0.76]),
}
FUNCTIONS = [name for name, exercise in exercises.EXERCISES.items() if exercise.inputs]
VALUES = [name for name in exercises.EXERCISES if name not in FUNCTIONS]


@pytest.fixture(autouse=True)
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", tmp_path / "runs")


@pytest.fixture
def said(capsys):
    """A function that checks an answer and returns what was printed."""

    def check(exercise, answer):
        exercises.check(exercise, answer, *GIVEN.get(exercise, ()))
        return capsys.readouterr().out

    return check


def right_value(name):
    right = exercises.EXERCISES[name].right
    value = right(*GIVEN[name]) if callable(right) else right
    return value[0] if isinstance(value, list) else value  # of several right ones


def mistakes():
    """(exercise, what the learner did wrong, an answer that does it) for each mistake that an exercise knows."""
    for name, exercise in exercises.EXERCISES.items():
        if exercise.inputs:
            example = next(iter(exercise.inputs(random.Random(0))))
            for words in exercise.mistakes(*example):
                yield name, words, lambda *inputs, e=exercise, w=words: e.mistakes(*inputs)[w]
        else:
            for words, wrong in exercise.mistakes(*GIVEN.get(name, ())).items():
                yield name, words, wrong[0] if isinstance(wrong, list) else wrong


MISTAKES = list(mistakes())


@pytest.mark.parametrize(
    ("name", "words", "answer"), MISTAKES, ids=[f"{name}-{i}" for i, (name, *_) in enumerate(MISTAKES)]
)
def test_each_known_mistake_is_wrong_and_gets_its_explanation(said, name, words, answer):
    printed = said(name, answer)
    assert printed.startswith("Not yet.")
    assert words.rstrip(".") in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("name", FUNCTIONS)
def test_right_functions_pass_whatever_they_return_it_in(said, name):
    right = exercises.EXERCISES[name].right

    def changes_its_arguments(*inputs):
        result = right(*inputs)
        for each in inputs:
            if isinstance(each, list):
                each.clear()
        return result

    forms = [right, changes_its_arguments, lambda *inputs: np.array(right(*inputs))]
    forms.append(lambda *inputs: torch.tensor(right(*inputs), dtype=None if name == "06-window" else torch.float64))
    forms.append(lambda *inputs: tuple(x) if isinstance(x := right(*inputs), list) else np.float64(x))
    if name == "12-iob2":  # torch has no texts
        forms[3] = lambda *inputs: pd.Series(right(*inputs), dtype=object)
    if name in ("06-window", "06-mask"):  # an empty window has no type in torch
        forms[3] = lambda *inputs: np.array(right(*inputs), dtype=int)
    for form in forms:
        assert said(name, form).startswith("Right!")


@pytest.mark.parametrize("name", VALUES)
def test_right_values_pass_whatever_they_are_in(said, name):
    right = right_value(name)
    forms = [f" {right.upper()} "] if isinstance(right, str) else [np.float32(right), torch.tensor(right), [right]]
    for form in (right, *forms):
        assert said(name, form).startswith("Right!")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_that_do_not_work_get_a_sentence(said, name):
    right = exercises.EXERCISES[name].right

    def forgets_return(*inputs):
        right(*inputs)

    for answer, words in (
        (forgets_return, "returns None; is the return missing?\n"),
        (lambda *inputs: "many", "was expected, not 'many'"),
        (lambda *inputs: 1 / 0, "your function stops with ZeroDivisionError: division by zero, in the line"),
        (lambda: 1, "your function stops with TypeError"),
        (lambda *inputs: float("nan"), "nan"),
        (right_name := "a", "Pass its name, without parentheses"),
    ):
        assert right_name == "a"
        printed = said(name, answer)
        assert printed.startswith("Not yet.")
        assert words in printed
    assert said(name, lambda *inputs: None).startswith("Not attempted yet.")
    assert said(name, None).startswith("Not attempted yet.")


@pytest.mark.parametrize("name", VALUES)
def test_values_of_a_wrong_kind_get_a_sentence(said, name):
    is_text = isinstance(right_value(name), str)
    for answer, words in (
        (lambda: 1, "The answer is a value, not a function"),
        (3 if is_text else "363", "was expected, not"),
        ("nobody" if is_text else -7.5, "is not right"),
        (["a", "b"], "was expected, not ['a', 'b']"),
    ):
        printed = said(name, answer)
        assert printed.startswith("Not yet.")
        assert words in printed
    assert said(name, None).startswith("Not attempted yet.")


@pytest.mark.parametrize("swallow", [ValueError, BaseException])
def test_an_endless_loop_is_ended_and_the_lesson_goes_on(said, swallow, monkeypatch):
    monkeypatch.setattr(running, "SECONDS", 0.2)
    monkeypatch.setattr(running.call, "__defaults__", (0.2,))

    def endless(lengths):
        while True:
            try:
                time.sleep(0.001)
            except swallow:
                break

    start = time.perf_counter()
    printed = said("02-padding", endless)
    assert "a loop that never ends" in printed or "returns None" in printed
    assert time.perf_counter() - start < 5


def test_each_of_several_weakest_classes_is_right(capsys):
    table = pd.DataFrame(
        [[9, 1, 1, 0], [4, 0, 0, 0], [3, 0, 0, 0], [1, 0, 0, 0]], index=["neutral", "joy", "fear", "anger"]
    )
    for name in ("joy", "Fear"):  # anger is never predicted, so it has no precision
        exercises.check("03-weakest", name, table)
        assert "Right!" in capsys.readouterr().out


def test_other_ways_to_the_right_answers_of_lesson_17_pass(said):
    def mean(means, counts):
        return np.average(means, weights=counts) if sum(counts) else 0

    def exchange(million_parameters, num_processes, gigabits_per_second):
        part = 32 * million_parameters / 1000 / num_processes  # gigabits
        return sum(part / gigabits_per_second for _ in range(2 * (num_processes - 1)))

    def devices(million_parameters, gib, reserved):
        count = 1
        while 16 * 1_000_000 * million_parameters / count > (gib - reserved) * 1024**3:
            count += 1
        return count

    for name, answer in {"17-mean": mean, "17-exchange": exchange, "17-updates": 13, "17-devices": devices}.items():
        assert said(name, answer).startswith("Right!")
    assert "four batches" in said("17-updates", 12)


def test_a_function_that_fails_elsewhere_is_told_what_it_returns_here(said):
    printed = said("03-f1", lambda hits, false_alarms, misses: hits / (hits + misses))
    assert "hits = 1, false_alarms = 0, misses = 3 your function returns 0.25, and 0.4 is right." in printed
    assert "was expected, not inf" in said("01-batch-size", lambda *given: float("inf"))


def test_hints_grow_and_the_solution_comes_last(said):
    hints = exercises.EXERCISES["05-kl"].hints
    for num_tries in range(1, 5):
        printed = said("05-kl", lambda a, b: -1.0)
        assert printed.count("Hint:") == min(num_tries, 3)
        assert all(hint in printed for hint in hints[:num_tries])
        assert ("The solution is below" in printed) == (num_tries == 4)
    assert "Exercises done: 1 of" in said("05-kl", exercises.EXERCISES["05-kl"].right)
    assert said("05-kl", lambda a, b: -1.0).count("Hint:") == 1


def test_what_differs_is_shown_with_its_input(said):
    printed = said("02-padding", lambda lengths: 1 / 3 if lengths == [3, 9] else 0.3)
    assert "Right for 1 other input. But for lengths = [5] your function returns 0.3, and 0 is right." in printed
    printed = said("03-f1", lambda *counts: 0.8002)
    assert "your function returns 0.8002, and 0.8 is right" in printed
    assert "There is no exercise '05-lk'. Did you mean '05-kl'?" in said("05-lk", 1)


def test_progress_is_kept_and_shown(said, tmp_path):
    said("02-padding", exercises.EXERCISES["02-padding"].right)
    table = exercises.show_progress()
    assert table.loc["02", ["exercises", "done", "to do"]].tolist() == [4, 1, "02-majority, 02-batch-size, 02-shared"]
    assert json.loads((tmp_path / "runs" / "progress.json").read_text())["02-padding"] == {"tries": 0, "done": True}
    (tmp_path / "runs" / "progress.json").write_text("damaged")
    assert exercises.show_progress()["done"].sum() == 0


def test_each_lesson_has_three_exercises_with_at_least_four_wrong_answers_each():
    for lesson in checking.LESSONS:
        assert len(lesson.EXERCISES) >= 3
        for name, exercise in lesson.EXERCISES.items():
            assert name.startswith(lesson.__name__[-2:])
            assert len(exercise.hints) == 3
            assert exercise.because
    assert len(MISTAKES) >= 84


@pytest.mark.parametrize("path", sorted(build.SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_the_solutions_in_the_lessons_are_right(capsys, path):
    cells = jupytext.read(path).cells
    asked = [cell.source for cell in cells if cell.cell_type == "code" and re.search(r"^check\(", cell.source, re.M)]
    solutions = [code for cell in cells if cell.cell_type == "markdown" for code in SOLUTION.findall(cell.source)]
    names = [re.search(r'^check\("(.*?)"', cell, re.M)[1] for cell in asked]
    assert names == [name for name in exercises.EXERCISES if name[:2] == path.name[:2]]
    assert len(solutions) == len(asked)
    for name, cell, solution in zip(names, asked, solutions, strict=True):
        answer = re.search(r'^check\("[^"]*", (\w+)', cell, re.M)[1]

        def check(exercise, answer, *_):
            exercises.check(exercise, answer, *GIVEN.get(exercise, ()))

        scope = {"check": check}
        exec(re.sub(r"^check\(.*\)$", "", cell, flags=re.M), scope)
        check(name, scope[answer])
        assert "Not attempted yet" in capsys.readouterr().out
        if name in GIVEN:  # the solution needs the lesson's own variables
            assert answer in solution
            continue
        exec(solution, scope)
        check(name, scope[answer])
        assert "Right!" in capsys.readouterr().out
        exercise = exercises.EXERCISES[name]
        if exercise.inputs is not None:  # whatever the random numbers are
            for seed in range(50):
                for inputs in exercise.inputs(random.Random(seed)):
                    assert not exercise.fault_of_result(scope[answer](*copy.deepcopy(inputs)), inputs), inputs


@pytest.mark.parametrize("module", [exercise_module, kinds, running])
def test_the_examples_in_the_docstrings_are_right(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed
