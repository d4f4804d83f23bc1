"""The page on scale has the numbers that were measured, and names only what there is."""

import re
import runpy

import pytest
import yaml

from nbhelpers.course import lessons

SCALE = runpy.run_path(str(lessons.ROOT / "tests" / "benchmarks" / "scale.py"))
PAGE = SCALE["PAGE"].read_text(encoding="utf-8")


def test_the_tables_are_those_of_the_stored_rows():
    assert SCALE["filled"](PAGE) == PAGE, "run tests/benchmarks/scale.py"
    for table, row, number in (
        ("service", "64 clients, onnx", "requests_per_second"),
        ("service", "64 clients, int8", "mib"),
        ("predicting", "10,000 rows", "texts_per_second"),
        ("throughput", "this course's Trainer, bf16", "examples_per_second"),
        ("gpu", "embedded encoder, single turns", "tokens_per_second"),
    ):
        shown = f"{SCALE['last'](table, row)[number]:,.0f}"
        lines = [line for line in PAGE.splitlines() if line.endswith(f"`{table}.jsonl`, {row} |")]
        assert any(f"| {shown} " in line for line in lines), (row, shown)


def test_the_arithmetic_is_right():
    """Each row of the second table is computed again from what it shows."""
    table = PAGE.partition("<!-- expected -->\n")[2].partition("<!-- end -->")[0].replace(",", "").splitlines()[2:]
    assert len(table) == 11
    for row in table:
        _, arithmetic, result = row.strip("| ").split(" | ")
        days = re.match(r"([\d.]+) days / (\d+)", arithmetic)
        value = float(days[1]) * 24 / int(days[2]) if days else eval(arithmetic.replace("×", "*"))
        number, unit = result.split()[:2]
        if unit.startswith("machine"):
            assert int(number) - 1 < value <= int(number), row
        else:
            seconds = 1 if days else {"days": 86_400, "hours": 3600}[unit]
            assert float(number) == pytest.approx(value / seconds, rel=0.02), row
    assert round(10_000 * 86_400 * 90 / 1e9) == int(re.search(r"90 bytes = (\d+) GB", PAGE)[1])


def test_the_service_is_planned_as_it_is_scaled():
    documents = yaml.safe_load_all((lessons.ROOT / "deploy" / "kubernetes.yml").read_text(encoding="utf-8"))
    [scaler] = [document for document in documents if document["kind"] == "HorizontalPodAutoscaler"]
    share = scaler["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"]
    assert share == 100 * SCALE["USED"]
    assert f"{share} % of what it can do" in PAGE


def test_each_file_that_is_named_is_there():
    files = {f"deploy/{path.name}" for path in (lessons.ROOT / "deploy").iterdir() if "ocker" not in path.name}
    assert set(re.findall(r"deploy/\w+\.\w+", PAGE)) == {name for name in files if "." in name}
