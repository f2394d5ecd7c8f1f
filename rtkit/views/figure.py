"""A figure that a notebook shows light or dark, with a text alternative."""

from __future__ import annotations

import base64
import html
import io
from typing import Any

from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from PIL import Image

from rtkit.markup import asset

__all__ = ["ThemedFigure", "image"]

DPI = 110  # of the image; it is shown at 72, so that it is sharp on fine screens, too


class ThemedFigure(Figure):
    """A matplotlib figure that a notebook shows light or dark, to match its theme.

    To make one with pyplot: ``plt.subplots(FigureClass=rtkit.ThemedFigure)``. Its layout is
    ``"constrained"`` unless you choose another. It is drawn once, in matplotlib's style; if that is
    black on white, dark themes invert the image.

    Parameters
    ----------
    *args, **options
        As for matplotlib's `Figure`.
    alt : str
        A text alternative for readers who cannot see the figure; by default, the axes' titles.
    """

    def __init__(self, *args: Any, alt: str = "", **options: Any) -> None:
        super().__init__(*args, **{"layout": "constrained", **options})
        self._alt = alt

    @property
    def alt(self) -> str:
        titles = (ax.get_title(loc=side) for ax in self.axes for side in ("left", "center"))
        return self._alt or "; ".join(filter(None, titles))

    def _repr_html_(self) -> str:
        width = f"width: {72 * self.get_figwidth():.0f}px; max-width: 100%"
        return f"<style>{asset('views/figure.css')}</style>{image(self, alt=self.alt, style=width)}"

    def _ipython_display_(self) -> None:
        """Show the HTML alone: pyplot's own image would double what a notebook keeps."""
        from IPython.display import display

        display({"text/plain": repr(self), "text/html": self._repr_html_()}, raw=True)


def image(figure: Figure, *, alt: str, style: str = "") -> str:
    """A figure as an image in HTML; one on light paper is marked for dark themes to turn over."""
    drawn, kept = io.BytesIO(), io.BytesIO()
    figure.savefig(drawn, format="png", dpi=DPI)
    *paper, opacity = to_rgba(figure.get_facecolor())
    light = sum(paper) > 1.5
    picture: Image.Image = Image.open(drawn)
    if opacity == 1:  # of few colors it takes a third of the notebook's file
        picture = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    picture.save(kept, format="png")
    return (
        f'<img class="{"rt-drawn" if light else ""}" alt="{html.escape(alt)}" style="{style}" '
        f'src="data:image/png;base64,{base64.b64encode(kept.getvalue()).decode()}">'
    )
