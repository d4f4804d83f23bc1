"""A drawing in SVG: boxes, arrows and texts on a grid of pixels, with a description for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from itertools import count

INK, PAPER, LINE, PALE = "#1f2328", "#ffffff", "#57606a", "#eef1f4"
# The palette of the course's figures (Okabe and Ito 2008): a strong color for edges, and a light one to write on
BLUE, ORANGE, GREEN, RED, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
LIGHT = {BLUE: "#d6e9f5", ORANGE: "#fbeccb", GREEN: "#d3efe6", RED: "#f9dfcf", PURPLE: "#f5e3ee"}
FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"

numbers = count()  # ids must differ where several drawings are on one page


class Drawing:
    """A drawing of a size in pixels. `alt` says in words what can be seen.

    >>> drawing = Drawing(120, 40, "A box with the word text.")
    >>> drawing.box(5, 5, 110, 30, "text")
    >>> "A box with the word text." in drawing.svg()
    True
    """

    def __init__(self, width: int, height: int, alt: str) -> None:
        self.width, self.height, self.alt = width, height, alt
        self.arrow_id = f"arrow-{next(numbers)}"
        self.parts: list[str] = []

    def box(
        self, x: float, y: float, width: float, height: float, text: str = "", color: str = "", bold: bool = False
    ) -> None:
        """A box with centered lines of text. With a color it has a light ground of it; without one it is pale."""
        fill, edge = (LIGHT[color], color) if color else (PALE, LINE)
        stroke = 2.5 if bold else 1.2
        self.parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="4" fill="{fill}" stroke="{edge}" '
            f'stroke-width="{stroke}"/>'
        )
        lines = text.split("\n") if text else []
        for i, line in enumerate(lines):
            self.text(x + width / 2, y + height / 2 + 16 * (i - (len(lines) - 1) / 2) + 4.5, line, bold=bold)

    def text(self, x: float, y: float, text: str, anchor: str = "middle", size: int = 13, bold: bool = False) -> None:
        """A line of text; `y` is its base line."""
        weight = ' font-weight="bold"' if bold else ""
        self.parts.append(
            f'<text x="{x}" y="{y}" text-anchor="{anchor}" font-size="{size}" fill="{INK}"{weight}>'
            f"{escape(text)}</text>"
        )

    def texts(self, x: float, y: float, lines: Sequence[str], anchor: str = "start", size: int = 13) -> None:
        """Several lines of text below each other."""
        for i, line in enumerate(lines):
            self.text(x, y + 18 * i, line, anchor, size)

    def arrow(self, x1: float, y1: float, x2: float, y2: float, color: str = LINE) -> None:
        """A straight arrow."""
        self.parts.append(
            f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="1.6" '
            f'marker-end="url(#{self.arrow_id})"/>'
        )

    def line(self, x1: float, y1: float, x2: float, y2: float, color: str = LINE) -> None:
        """A straight line."""
        self.parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{color}" stroke-width="1.6"/>')

    def curve(self, points: Sequence[tuple[float, float]], color: str) -> None:
        """A line through many points."""
        places = " ".join(f"{x},{y}" for x, y in points)
        self.parts.append(f'<polyline points="{places}" fill="none" stroke="{color}" stroke-width="1.4"/>')

    def dot(self, x: float, y: float, radius: float, color: str) -> None:
        """A filled circle."""
        self.parts.append(f'<circle cx="{x}" cy="{y}" r="{radius}" fill="{color}"/>')

    def svg(self) -> str:
        """The drawing as the text of an SVG file."""
        marker = (
            f'<defs><marker id="{self.arrow_id}" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" '
            f'markerHeight="7" orient="auto-start-reverse"><path d="M0 0L10 5L0 10z" fill="{LINE}"/></marker></defs>'
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" width="{self.width}" '
            f'height="{self.height}" style="max-width: 100%; height: auto" role="img" aria-label="{escape(self.alt)}" '
            f'font-family="{FONT}"><title>{escape(self.alt)}</title>{marker}'
            f'<rect width="100%" height="100%" fill="{PAPER}"/>{"".join(self.parts)}</svg>'
        )

    def _repr_mimebundle_(self, **_: object) -> dict[str, str]:
        """What a notebook shows: the picture, or the description where it cannot show pictures."""
        return {"image/svg+xml": self.svg(), "text/plain": self.alt}
