"""The quiz questions of the lessons: three for each, with an explanation for every choice.

The questions are in files with the number of the lesson, such as 03.yml.
"""

from .asking import all_questions, quiz

__all__ = ["all_questions", "quiz"]
