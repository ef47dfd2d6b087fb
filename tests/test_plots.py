"""The figure style and the small plotting helpers."""

import itertools

import matplotlib.pyplot as plt
import pytest
from matplotlib.colors import to_rgb

from mergehelpers import plots


@pytest.fixture(autouse=True)
def own_style():
    with plt.rc_context():
        yield
    plt.close("all")


def luminance(colour):
    """Relative luminance as in the web's accessibility guidelines."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_the_style_keeps_letters_legible_on_a_white_ground():
    plots.use_style()
    assert plt.rcParams["figure.figsize"][0] <= 7
    texts = ("xtick.labelsize", "ytick.labelsize", "legend.fontsize", "axes.labelsize")
    assert min(plt.rcParams[name] for name in texts) >= 11
    assert plt.rcParams["figure.facecolor"] == plt.rcParams["savefig.facecolor"] == "white"
    cycle = plt.rcParams["axes.prop_cycle"].by_key()["color"]
    assert [to_rgb(colour) for colour in cycle] == [
        to_rgb(colour) for colour in plots.COLOURS.values()
    ]


def test_colours_are_distinct_and_seen_on_white():
    for a, b in itertools.combinations(plots.COLOURS.values(), 2):
        assert sum(abs(x - y) for x, y in zip(to_rgb(a), to_rgb(b))) > 0.2
    assert all(luminance(colour) < 0.55 for colour in plots.COLOURS.values())


def test_the_identity_line_runs_over_the_limits_both_axes_share():
    ax = plt.figure().add_subplot()
    ax.set(xlim=(0, 2), ylim=(1, 5))
    plots.identity_line(ax, label="same")
    [line] = ax.lines
    assert line.get_xydata().tolist() == [[1, 1], [2, 2]]
    assert line.get_label() == "same"


def test_show_draws_once_and_closes(monkeypatch):
    shown = []
    monkeypatch.setattr(plt, "show", lambda: shown.append(plt.get_fignums()))
    plt.figure()
    plots.show()
    assert len(shown) == 1 and len(shown[0]) == 1
    assert plt.get_fignums() == []
