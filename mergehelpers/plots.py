"""The book's figure style: quiet, colour-blind safe, legible on a phone and on a dark page."""

import matplotlib.pyplot as plt
import seaborn as sns
from matplotlib.ticker import NullFormatter

# Okabe and Ito's colours: told apart with any common colour blindness.
COLOURS = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "red": "#D55E00",
    "pink": "#CC79A7",
    "sky": "#56B4E9",
    "black": "#222222",
    "grey": "#777777",
}


def use_style() -> None:
    """Set the style for every figure drawn after this call.

    Figures keep a white ground, so that they read the same on a light and on a dark page, and are
    about 6 inches wide with large letters, so that they stay legible when a phone shrinks them.
    """
    sns.set_theme(
        context="notebook",
        style="ticks",
        palette=list(COLOURS.values()),
        rc={
            "figure.figsize": (6.2, 4.2),
            "figure.dpi": 120,
            "savefig.dpi": 120,
            "figure.facecolor": "white",
            "savefig.facecolor": "white",
            "font.size": 13,
            "axes.titlesize": 13,
            "axes.labelsize": 13,
            "xtick.labelsize": 12,
            "ytick.labelsize": 12,
            "legend.fontsize": 11.5,
            "legend.title_fontsize": 11.5,
            "legend.frameon": False,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.25,
            "lines.linewidth": 2,
            "figure.constrained_layout.use": True,
        },
    )


def identity_line(ax, label: str = "equal") -> None:
    """A thin diagonal over the present limits: where both axes agree."""
    low = max(ax.get_xlim()[0], ax.get_ylim()[0])
    high = min(ax.get_xlim()[1], ax.get_ylim()[1])
    ax.plot([low, high], [low, high], color=COLOURS["grey"], linewidth=1, zorder=0, label=label)


def decades_only(ax) -> None:
    """On log axes, label the decades only: labels between them collide on a phone."""
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_minor_formatter(NullFormatter())


def show() -> None:
    """Draw the current figure and close it."""
    plt.show()
    plt.close("all")
