"""The look of every figure: fonts, spines, titles, layout. Drawing functions carry ``@styled``."""

import base64
import functools
import io
import textwrap
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

from pipelines.figures.palette import (
    DPI,
    FAINT,
    GREY,
    INK,
    PALE,
    RESISTANT,
    RESISTANT_TINT,
    RESPONSIVE,
    RESPONSIVE_TINT,
    WIDTH,
)

__all__ = [
    "LABEL_SIZE",
    "SMALL_SIZE",
    "TITLE_SIZE",
    "drawing_of",
    "finished",
    "new_figure",
    "no_grid",
    "one_line",
    "png_bytes",
    "png_text",
    "readable",
    "reference_line",
    "styled",
    "tint_sides",
]

TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 13.0, 9.5, 8.5
_STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "figure.facecolor": "white",
    "font.family": ["DejaVu Sans"],
    "font.size": LABEL_SIZE,
    "text.color": INK,
    "text.parse_math": False,  # a sample may be called $x$
    "axes.titlesize": 10.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.labelsize": LABEL_SIZE,
    "axes.labelcolor": INK,
    "axes.labelpad": 6.0,
    "axes.edgecolor": "#9a9a9a",
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": PALE,
    "grid.linewidth": 0.7,
    "xtick.color": "#9a9a9a",
    "ytick.color": "#9a9a9a",
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": LABEL_SIZE,
    "ytick.labelsize": LABEL_SIZE,
    "legend.frameon": False,
    "legend.fontsize": LABEL_SIZE,
    "legend.handletextpad": 0.6,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "hatch.linewidth": 1.0,
}
_INCHES_A_LINE = {"title": 0.235, "note": 0.175}
_CHARACTERS_AN_INCH = {"title": 8.6, "note": 12.6}
_LONGEST = 44
_ACRONYMS = {"dna": "DNA", "rna": "RNA", "t": "T", "b": "B", "nk": "NK", "mhc": "MHC", "tgf": "TGF"}


def styled[**P](draw: Callable[P, Figure]) -> Callable[P, Figure]:
    """Return the drawing function under the common style; what it returns is laid out."""

    @functools.wraps(draw)
    def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
        with mpl.rc_context(_STYLE):
            figure = draw(*args, **kwargs)
            engine = figure.get_layout_engine()
            if engine is not None:
                engine.execute(figure)
                figure.set_layout_engine("none")
        return figure

    return drawn


def new_figure(height: float, *, width: float = WIDTH) -> Figure:
    """Return an empty figure of the common width; inches."""
    figure = Figure(figsize=(width, height), layout="constrained")
    _layout(figure).set(w_pad=0.08, h_pad=0.06, wspace=0.03, hspace=0.03)
    return figure


def drawing_of(height: float) -> tuple[Figure, Any]:
    """Return a figure and its one set of axes."""
    figure = new_figure(height)
    return figure, figure.subplots()


def finished(figure: Figure, *, title: str, note: str = "") -> Figure:
    """Return the figure with its title at the top left, what one must know to read it beneath."""
    width, height = figure.get_size_inches()
    lines = {"title": _wrapped(title, "title", width), "note": _wrapped(note, "note", width)}
    top = height - 0.12
    looks: Mapping[str, dict[str, Any]] = {
        "title": {"fontsize": TITLE_SIZE, "fontweight": "bold", "color": INK},
        "note": {"fontsize": LABEL_SIZE, "color": FAINT},
    }
    for kind, text in lines.items():
        if text:
            placed = figure.text(0.1 / width, top / height, text, va="top", ha="left")
            placed.update({**looks[kind], "linespacing": 1.3})
            placed.set_in_layout(False)
            top -= _INCHES_A_LINE[kind] * (text.count("\n") + 1) + 0.05
    _layout(figure).set(rect=(0.0, 0.0, 1.0, (top - 0.03) / height))
    return figure


def _wrapped(text: str, kind: str, width: float) -> str:
    most = int(_CHARACTERS_AN_INCH[kind] * width)
    return "\n".join(textwrap.wrap(text, most))


def _layout(figure: Figure) -> Any:
    return figure.get_layout_engine()


def no_grid(axes: Any, *, keep: str = "") -> None:
    """Take the grid off the axes, but the lines of one direction (``x``, ``y``)."""
    axes.grid(visible=False)
    if keep:
        axes.grid(visible=True, axis=keep)


def reference_line(axes: Any, *, x: float | None = None, y: float | None = None) -> None:
    """Draw a dashed line where nothing is gained or lost."""
    line = {"color": GREY, "linestyle": (0, (4, 3)), "linewidth": 1.1, "zorder": 1.5}
    if x is not None:
        axes.axvline(x, **line)
    if y is not None:
        axes.axhline(y, **line)


def tint_sides(axes: Any, *, at: float = 0.0, words: bool = True) -> None:
    """Tint what pulls towards response and what pushes towards resistance, left and right."""
    low, high = axes.get_xlim()
    axes.axvspan(low, at, color=RESPONSIVE_TINT, zorder=0, linewidth=0)
    axes.axvspan(at, high, color=RESISTANT_TINT, zorder=0, linewidth=0)
    axes.set_xlim(low, high)
    axes.axvline(at, color=GREY, linewidth=0.9, zorder=1)
    if words:
        sides = ((0.01, "left", "\u25c0 response", RESPONSIVE),)
        for x, ha, text, colour in (*sides, (0.99, "right", "resistance \u25b6", RESISTANT)):
            axes.text(
                x,
                1.005,
                text,
                transform=axes.transAxes,
                ha=ha,
                va="bottom",
                color=colour,
                fontsize=SMALL_SIZE,
                fontweight="bold",
            )


def readable(
    name: object, names: Mapping[str, str] | None = None, *, most: int = _LONGEST, lines: int = 1
) -> str:
    """Return a name for people: that of the catalogue, else the id with spaces.

    Parameters
    ----------
    most
        Characters a line; what is longer is wrapped, and cut off after the last line.
    lines
        How many there may be.

    Examples
    --------
    >>> readable("t_cell_state")
    'T cell state'
    >>> readable("b2m", {"b2m": "β2-microglobulin"})
    'β2-microglobulin'
    """
    words = " ".join(_ACRONYMS.get(word, word) for word in str(name).split("_"))
    text = (names or {}).get(str(name)) or words[:1].upper() + words[1:]
    joined = " ".join(text.split())
    wrapped = textwrap.wrap(joined, most, max_lines=lines, placeholder="…")
    return "\n".join(wrapped)


def one_line(text: object, *, most: int = _LONGEST) -> str:
    r"""Return text from input as one line, its end cut off where it is too long.

    Examples
    --------
    >>> one_line("a sample\nof two lines", most=12)
    'a sample of…'
    """
    joined = " ".join(str(text).split())
    return joined if len(joined) <= most else joined[: most - 1].rstrip() + "…"


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=DPI)
    return buffer.getvalue()


def png_text(image: Figure | bytes) -> str:
    """Return a figure, or a PNG, in base64, to stand inside a page."""
    data = image if isinstance(image, bytes) else png_bytes(image)
    return base64.b64encode(data).decode("ascii")
