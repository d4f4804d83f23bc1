"""Plots: figures for data, training and evaluation of a text classifier, each with a description in words.

How to use it: copy this folder into your project (it needs numpy, pandas, matplotlib and pillow, not torch). A function
takes plain numbers or a DataFrame and returns a `Picture`, which is a matplotlib Figure with two texts: `alt` describes
it for screen readers, and `summary` states the finding in one line.

>>> import pandas as pd
>>> scores = pd.DataFrame({"score": [58.1, 62.0], "low": [56.0, 60.1], "high": [60.2, 63.8]}, ["TF-IDF", "MiniLM"])
>>> picture = score_bars(scores, measure="weighted F1 (%)")
>>> show(picture)  # in a notebook this also displays the picture, with its alt text
Highest: MiniLM with 62.0 [60.1, 63.8]; lowest: TF-IDF with 58.1 [56.0, 60.2].

In a notebook, a picture at the end of a cell is shown without `show` as well. To save one, use
`Path("scores.png").write_bytes(picture.png())`, or `picture.savefig("scores.svg")` as for any Figure.

What all figures have in common: colors can be told apart by color-blind readers (Okabe and Ito 2008; cividis), and a
color never carries a meaning alone. Your own matplotlib settings neither change the figures nor are changed. A wrong
call raises ValueError that says which argument is wrong.

The files: `style` has `Picture` and the look of all figures, `data` the figures about a corpus, `dialogue` those about
turns of a conversation, `evaluation`, `probabilities`, `thresholds` and `attributions` those about a trained model, and
`curves` those about training. `heatmap` draws the tables for two of them.
"""

from .attributions import token_attributions
from .curves import CURVES, LINES, learning_curves, run_curves
from .data import batch_shape, label_distribution, length_histogram
from .dialogue import timeline, transitions
from .evaluation import confusion_matrix, reliability_diagram, score_bars
from .probabilities import class_probabilities, dropout_spread
from .style import (
    BLUE,
    CARD,
    EMOTIONS,
    GREEN,
    GREY,
    INK,
    ORANGE,
    OTHERS,
    PALE,
    PAPER,
    PURPLE,
    RED,
    SKY,
    Picture,
    show,
)
from .thresholds import threshold_curve

__all__ = [
    "BLUE",
    "CARD",
    "CURVES",
    "EMOTIONS",
    "GREEN",
    "GREY",
    "INK",
    "LINES",
    "ORANGE",
    "OTHERS",
    "PALE",
    "PAPER",
    "PURPLE",
    "RED",
    "SKY",
    "Picture",
    "batch_shape",
    "class_probabilities",
    "confusion_matrix",
    "dropout_spread",
    "label_distribution",
    "learning_curves",
    "length_histogram",
    "reliability_diagram",
    "run_curves",
    "score_bars",
    "show",
    "threshold_curve",
    "timeline",
    "token_attributions",
    "transitions",
]
