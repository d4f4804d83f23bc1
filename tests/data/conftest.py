import pytest

from nbhelpers.course.lessons import ROOT


@pytest.fixture(scope="session")
def card() -> str:
    """The data card, its lines joined."""
    return " ".join((ROOT / "data" / "README.md").read_text(encoding="utf-8").split())
