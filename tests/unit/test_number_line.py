"""The number line of lesson 1: it stores numbers exactly as torch does, and says what a step changed."""

import doctest
import random

import pytest
import torch

from nbhelpers.course import diagrams
from nbhelpers.course.diagrams import numbers
from nbhelpers.course.errors import CourseError

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


@pytest.mark.parametrize("name", numbers.FORMATS)
def test_numbers_are_stored_as_torch_stores_them(name):
    draw = random.Random(0)
    values = [10.0**exponent for exponent in range(-9, 7)] + [2 ** draw.uniform(-30, 30) for _ in range(500)]
    for value in [*values, 65504.0, 65519.9, 65520.0, 1 + 2**-8, 1 + 3 * 2**-8, 0.0]:
        assert numbers.stored(value, name) == torch.tensor(value, dtype=DTYPES[name]).item(), value


def test_a_step_is_lost_or_not_as_in_torch():
    for exponent in range(-6, 3):
        for step in range(-8, 0):
            picture = diagrams.number_line(10.0**exponent, 10.0**step)
            for name, dtype in DTYPES.items():
                before = torch.tensor(10.0**exponent, dtype=dtype)
                is_same = before - torch.tensor(10.0**step, dtype=dtype) == before
                said = picture.alt.split(f"{name}: stored")[1].split(". ")[0].rstrip(".")
                assert said.endswith("nothing changed") == bool(is_same), (exponent, step, name)


@pytest.mark.parametrize("number", [1e-10, 1e-6, 0.1, 1.0, 3.7, 1e5])
@pytest.mark.parametrize("step", [0.0, 1e-8, 1e-5, 1.0])
def test_every_setting_gives_a_small_picture_that_stays_inside(number, step):
    picture = diagrams.number_line(number, step)
    assert len(picture.svg()) < 20_000
    assert f"around {number:g}" in picture.svg()


@pytest.mark.parametrize("name", ["fp16", "bf16"])
@pytest.mark.parametrize("number", [1e-8, 1e-5, 0.1, 1.0, 4.0, 1000.0])
def test_the_marks_are_all_numbers_that_can_be_stored(name, number):
    dense = torch.linspace(0.985 * number, 1.015 * number, 20_001, dtype=torch.float64)
    expected = dense.to(DTYPES[name]).double().unique()
    inside = [x for x in expected.tolist() if 0.985 * number <= x <= 1.015 * number]
    assert numbers.storable(name, 0.985 * number, 1.015 * number) == inside


def test_too_large_a_number_becomes_infinite():
    assert "fp16: too large to store" in diagrams.number_line(1e5, 1.0).alt


@pytest.mark.parametrize(("number", "step"), [(0.0, 1e-5), (-1.0, 1e-5), (1.0, -1.0), (float("nan"), 0.1)])
def test_other_numbers_are_refused(number, step):
    with pytest.raises(CourseError, match="choose a weight above 0"):
        diagrams.number_line(number, step)


def test_the_example_in_the_docstring_is_right():
    assert doctest.testmod(numbers) == (0, 2)
