"""The real data sets of the results tables have the splits and classes that their docstrings name."""

import pytest

from nbhelpers.course.experiments.real import REAL

SIZES = {  # train, dev, test, classes
    "ag news": (3500, 500, 1000, 4),
    "amazon and yelp, split": (1440, 160, 400, 2),
    "banking77": (9000, 1000, 3080, 77),
    "clinc150": (15000, 3000, 4500, 150),
    "financial phrasebank": (3400, 500, 1000, 3),
    "imdb, train and test": (4500, 500, 5000, 2),
    "sst-2": (6920, 872, 1821, 2),
    "waimai": (8400, 1200, 2400, 2),
}


@pytest.mark.parametrize("name", REAL)
def test_a_real_data_set_is_split_as_its_docstring_says(name, real_data, monkeypatch):
    monkeypatch.setenv("NBHELPERS_DATA", str(real_data))
    data = REAL[name]()
    *sizes, num_classes = SIZES[name]
    assert [len(data[split]) for split in ("train", "dev", "test")] == pytest.approx(sizes, rel=0.05)
    assert data["train"].features["label"].num_classes == num_classes
    again = REAL[name]()
    assert again["test"]["text"][:50] == data["test"]["text"][:50]
