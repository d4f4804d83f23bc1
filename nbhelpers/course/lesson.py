"""What lessons use of the course, so that each needs one line to import it."""

from nbhelpers.course import diagrams, results
from nbhelpers.course.exercises import check
from nbhelpers.course.explorers import explore
from nbhelpers.course.headline import headline
from nbhelpers.course.live import LiveTraining
from nbhelpers.course.quizzes import quiz
from nbhelpers.course.splits import load_splits

__all__ = ["LiveTraining", "check", "diagrams", "explore", "headline", "load_splits", "quiz", "results"]
