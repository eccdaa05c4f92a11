"""The look of the pictures in the reports: matplotlib figures without pyplot, and PNG files of them."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib

RECORDED, SYNTHETIC, MARK = "#4d4d4d", "#1769aa", "#c8501e"  # told apart in grey and by colour-blind eyes too
WIDTH = 8.0  # inches
DPI = 130
_STYLE = {
    "axes.axisbelow": True,
    "axes.edgecolor": "#999999",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.titlesize": 12,
    "font.size": 10,
    "grid.color": "#e6e6e6",
    "legend.frameon": False,
    "savefig.dpi": DPI,
    "xtick.color": "#666666",
    "xtick.labelcolor": "#222222",
    "ytick.color": "#666666",
    "ytick.labelcolor": "#222222",
}


def draw_all(
    drawings: Mapping[str, Callable[[], Any]], advance: Callable[[int, int], None] = lambda *_: None
) -> dict[str, bytes]:
    """Draw every figure; return PNG files by name."""
    pictures = {}
    with matplotlib.rc_context(_STYLE):
        for done, (name, draw) in enumerate(drawings.items(), start=1):
            file = io.BytesIO()
            draw().savefig(file, format="png")
            pictures[name] = file.getvalue()
            advance(done, len(drawings))
    return pictures


def note(ax: Any, text: str, at: tuple[float, float], offset: tuple[float, float], **style: Any) -> None:
    """Write a text at a place of the data, moved by some points."""
    ax.annotate(text, at, xytext=offset, textcoords="offset points", **style)
