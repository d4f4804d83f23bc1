"""A figure about which tokens of a text a prediction rests on."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .style import BLUE, INK, ORANGE, PALE, PAPER, Picture, card_style, finish, new_picture, require, to_strings

MAX_TOKENS = 30  # more bars than these cannot be read in one figure


def token_attributions(tokens: Iterable[str], scores: ArrayLike, name: str = "the class") -> Picture:
    """Draw what each token of a text adds to the logit of a class, or takes away from it.

    Of more than 30 tokens, it shows those with the largest scores, of either sign, in the order of the text.

    Args:
        tokens: of the text, in its order.
        scores: [tokens] positive for the class and negative against it, as from `attribution.integrated_gradients`.
        name: of the class.

    Raises:
        ValueError: there are no tokens, their number is not that of the scores, or a score is not finite.

    >>> print(token_attributions(["so", "happy", "."], [0.25, 1.5, -0.5], name="joy").summary)
    All tokens together: +1.25 for joy. Most for it: "happy" +1.50. Most against it: "." -0.50.
    """
    words, values = to_strings(tokens), np.asarray(scores, dtype=float)
    require(
        words and values.shape == (len(words),),
        f"scores has shape {[*values.shape]} for {len(words)} tokens: pass one score for each token",
    )
    require(np.isfinite(values).all(), "scores contains NaN or infinite numbers")
    shown = np.sort(np.argsort(-abs(values), kind="stable")[:MAX_TOKENS])
    title = f"What each token adds to the logit of {name}"
    title += f": the {len(shown)} of {len(words)} tokens with the largest scores" if len(shown) < len(words) else ""
    with card_style():
        picture = new_picture(8, 1.1 + 0.22 * len(shown), title)
        axes = picture.subplots()
        for row, token in enumerate(shown):
            value = values[token]
            # Hatched against the class, so that the sign can also be seen without color
            look: dict[str, Any] = {"color": BLUE} if value >= 0 else {"color": ORANGE, "hatch": "///"}
            bars = axes.barh(row, value, 0.75, edgecolor=PAPER, **look)
            axes.bar_label(bars, [f"{value:+.2f}"], padding=3, fontsize=7)
        axes.set_yticks(range(len(shown)), [words[token] for token in shown])
        axes.axvline(0, color=INK, linewidth=1)
        reach = 1.2 * max(abs(values).max(), 1e-6)  # room for the numbers beside the longest bars
        axes.set(xlim=(-reach, reach), ylim=(len(shown) - 0.4, -0.6))
        axes.set_xlabel(f"logits: to the left against {name}, to the right for it")
        axes.grid(axis="x", color=PALE)
        axes.set_axisbelow(True)
    summary = f"All tokens together: {values.sum():+.2f} for {name}."
    best, worst = values.argmax(), values.argmin()
    summary += f' Most for it: "{words[best]}" {values[best]:+.2f}.' if values[best] > 0 else ""
    summary += f' Most against it: "{words[worst]}" {values[worst]:+.2f}.' if values[worst] < 0 else ""
    listed = ", ".join(f"{words[token]} {values[token]:+.2f}" for token in shown)
    return finish(picture, f"Bars of what each token adds to the logit of {name}: {listed}.", summary)
