"""Exercises: right answers pass, usual mistakes get their hint, and the solutions in the lessons are right."""

import doctest
import math
import re

import jupytext
import pytest
import torch
from torch.nn import functional as F

from nbhelpers.course import build, exercises
from nbhelpers.course.exercises import checking, hints

SOLUTION = re.compile(r"<summary>Solution</summary>\n\n```python\n(.*?)```", re.DOTALL)


def near(i, ids, past, future):
    """The rows around row i, of any dialogue."""
    return list(range(max(0, i - past), min(len(ids), i + future + 1)))


def both_ways(first, second):
    """KL(p || q) and KL(q || p) of two lists of logits, by torch."""
    p, q = (torch.tensor(logits).log_softmax(-1) for logits in (first, second))
    return [F.kl_div(b, a, log_target=True, reduction="sum") for a, b in ((p, q), (q, p))]


def stability(now, before, factor=lambda a, b: a - b, least=0.5):
    """The population stability index, or with another factor or least count what a learner may compute instead."""
    p, q = ([max(x, least) / sum(max(x, least) for x in counts) for x in counts] for counts in (now, before))
    return sum(factor(a, b) * math.log(a / b) for a, b in zip(p, q, strict=True))


def printed(capsys, exercise, answer):
    exercises.check(exercise, answer)
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("exercise", "answer", "words"),
    [
        ("memory", None, "No answer yet"),
        ("memory", 363.2, "Right."),
        ("memory", 90.8, "weights only"),
        ("memory", 1452.8, "4 bytes"),
        ("memory", 5, "count how many numbers"),
        ("memory", "many", "stopped with TypeError"),
        ("padding", lambda n: None, "No answer yet"),
        ("padding", lambda n: 1 / 3 if n == [3, 9] else None, "gives None; return a number"),
        ("padding", lambda n: 1 - sum(n) / (len(n) * max(n)), "Right."),
        ("padding", lambda n: sum(n) / (len(n) * max(n)), "real tokens"),
        ("padding", lambda n: 100 - 100 * sum(n) / (len(n) * max(n)), "in percent"),
        ("padding", lambda n: 0.5, "the batch has 2 rows of 9"),
        ("padding", lambda n: "a", "return a number"),
        ("padding", lambda n: 1 / 0, "stopped with ZeroDivisionError"),
        ("f1", lambda h, f, m: 2 * h / max(1, 2 * h + f + m), "Right."),
        ("f1", lambda h, f, m: 2 * h / (2 * h + f + m), "division by 0"),
        ("f1", lambda h, f, m: (h / max(1, h + f) + h / max(1, h + m)) / 2, "harmonic mean"),
        ("f1", lambda h, f, m: 0.8, "should give 0.400"),
        ("lora", lambda layers, r: sum(r * (a + b) for a, b in layers), "Right."),
        ("lora", lambda layers, r: sum(a * b for a, b in layers), "this counts W"),
        ("lora", lambda layers, r: sum(a * b + r * (a + b) for a, b in layers), "count A and B only"),
        ("lora", lambda layers, r: sum(r * a * b for a, b in layers), "not multiplied"),
        ("lora", lambda layers, r: sum(r * a for a, b in layers), "B, of d_out x r, is missing"),
        ("lora", lambda layers, r: sum(r * b for a, b in layers), "A, of r x d_in, is missing"),
        ("lora", lambda layers, r: [r], "return a number"),
        ("lora", lambda layers, r: r * (layers[0][0] + layers[0][1]), "should be 12,416, not 12288"),
        ("kl", lambda a, b: sum(both_ways(a, b)) / 2, "Right."),
        ("psi", lambda p, q: stability(p, q), "Right."),
        ("psi", lambda p, q: -stability(p, q), "the sign is turned"),
        ("psi", lambda p, q: stability(p, q) / math.log(2), "this is in bits"),
        ("psi", lambda p, q: stability(p, q, lambda a, b: a), "this is the KL divergence"),
        ("psi", lambda p, q: stability(p, q, least=0), "count at least 0.5"),
        ("psi", lambda p, q: 1, "should give 0.8789, not 1.0000"),
        ("kl", lambda a, b: both_ways(a, b)[0], "this is KL(p || q) alone"),
        ("kl", lambda a, b: both_ways(a, b)[1], "this is KL(q || p) alone"),
        ("kl", lambda a, b: sum(both_ways(a, b)).item(), "take half of it"),
        ("kl", lambda a, b: sum(both_ways(a, b)) / 2 / math.log(2), "this is in bits"),
        ("kl", lambda a, b: 0.0, "should give 0.5599, not 0.0000; did both pass"),
        ("kl", lambda a, b: sum(x * math.log(x / y) for x, y in zip(a, b, strict=True)), "ZeroDivisionError"),
        ("window", lambda i, ids, p, f: [j for j in near(i, ids, p, f) if ids[j] == ids[i]], "Right."),
        ("window", lambda i, ids, p, f: near(i, ids, p, f), "a turn of another dialogue"),
        ("window", lambda i, ids, p, f: [j for j in near(i, ids, p, f + 1) if ids[j] == ids[i]], "with a future turn"),
        ("window", lambda i, ids, p, f: [j for j in near(i, ids, p, f) if j != i], "lacks row 0 itself"),
        ("window", lambda i, ids, p, f: list(range(i - p, i + f + 1)), "there are only rows 0 to 8"),
        ("window", lambda i, ids, p, f: [i], "should give [0, 1, 2]"),
    ],
)
def test_answers_are_right_or_get_a_hint(capsys, exercise, answer, words):
    assert words in printed(capsys, exercise, answer)


@pytest.mark.parametrize("path", sorted(build.SOURCE.glob("*.py")), ids=lambda path: path.stem)
def test_each_lesson_has_an_exercise_whose_solution_is_right(capsys, path):
    cells = jupytext.read(path).cells
    asked = [cell.source for cell in cells if cell.cell_type == "code" and re.search(r"^check\(", cell.source, re.M)]
    solutions = [code for cell in cells if cell.cell_type == "markdown" for code in SOLUTION.findall(cell.source)]
    assert len(asked) == len(solutions) >= 1
    for cell, solution in zip(asked, solutions, strict=True):
        for code, words in ((cell, "No answer yet"), (f"{solution}\n{cell[cell.index('check(') :]}", "Right.")):
            exec(code, {"check": exercises.check})
            assert words in capsys.readouterr().out


@pytest.mark.parametrize("module", [checking, hints])
def test_the_examples_in_the_docstrings_are_right(module):
    outcome = doctest.testmod(module)
    assert outcome.attempted
    assert not outcome.failed
