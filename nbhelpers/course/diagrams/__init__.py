"""The diagrams of the lessons, drawn by code so that all have the same look, words for each, and no file to go stale.

>>> from nbhelpers.course import diagrams
>>> "From a text to probabilities" in diagrams.path("head").alt
True
"""

from .adversarial import adversarial_steps
from .bars import bars
from .business import alarms, file_to_service
from .context import causal_mask, windows
from .data import fine_tuning, loop, padding
from .distillation import student_layers, teacher_student
from .drawing import Drawing
from .imbalance import boundary
from .languages import long_text, three_tokenizers, which_model
from .methods import low_rank, two_passes
from .numbers import number_line
from .path import path
from .pretraining import attention_head, masking_fates
from .retrieval import in_batch_negatives, two_readers
from .scaling import data_parallel, ring, three_loads
from .search import halving, search_points
from .serving import request, rounding
from .tagging import overlapping_windows, tag_schemes, tagged_sentence, word_pieces

__all__ = [
    "Drawing",
    "adversarial_steps",
    "alarms",
    "attention_head",
    "bars",
    "boundary",
    "causal_mask",
    "data_parallel",
    "file_to_service",
    "fine_tuning",
    "halving",
    "in_batch_negatives",
    "long_text",
    "loop",
    "low_rank",
    "masking_fates",
    "number_line",
    "overlapping_windows",
    "padding",
    "path",
    "request",
    "ring",
    "rounding",
    "search_points",
    "student_layers",
    "tag_schemes",
    "tagged_sentence",
    "teacher_student",
    "three_loads",
    "three_tokenizers",
    "two_passes",
    "two_readers",
    "which_model",
    "windows",
    "word_pieces",
]
