"""The book's figure style: quiet, colour-blind safe, legible on a phone and on a dark page."""

import matplotlib.pyplot as plt
from cycler import cycler
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

# Black that is a little grey, thin grids, ticks outside: seaborn's "ticks". seaborn itself opens a
# second later than these lines, on every page.
INK = ".15"
STYLE = {
    "figure.figsize": (6.2, 4.2),
    "figure.dpi": 120,
    "savefig.dpi": 120,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "figure.constrained_layout.use": True,
    "font.family": ["sans-serif"],
    "font.sans-serif": ["Arial", "DejaVu Sans", "Liberation Sans", "Bitstream Vera Sans"],
    "font.size": 13,
    "text.color": INK,
    "axes.axisbelow": True,
    "axes.edgecolor": INK,
    "axes.grid": True,
    "axes.labelcolor": INK,
    "axes.labelsize": 13,
    "axes.linewidth": 1.25,
    "axes.prop_cycle": cycler(color=list(COLOURS.values())),
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 13,
    "grid.alpha": 0.25,
    "grid.color": ".8",
    "grid.linewidth": 1,
    "legend.fontsize": 11.5,
    "legend.frameon": False,
    "legend.title_fontsize": 11.5,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
    "patch.edgecolor": "w",
    "patch.force_edgecolor": True,
} | {
    f"{axis}.{name}": value
    for axis in ("xtick", "ytick")
    for name, value in {
        "color": INK,
        "labelsize": 12,
        "major.size": 6,
        "major.width": 1.25,
        "minor.size": 4,
        "minor.width": 1,
    }.items()
}


def use_style() -> None:
    """Set the style for every figure drawn after this call.

    Figures keep a white ground, so that they read the same on a light and on a dark page, and are
    about 6 inches wide with large letters, so that they stay legible when a phone shrinks them.
    """
    plt.rcParams.update(STYLE)


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
