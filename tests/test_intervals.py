"""Intervals and permutation tests: by hand, by scipy and by brute force, and how they read."""

import math
from itertools import combinations, permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mergebook.intervals import (
    Interval,
    Permuted,
    by_bootstrap,
    by_relabelling,
    of_mean,
    of_runs,
    rank_correlation,
    ranked,
    t_quantile,
)

# A warning would reach the page's stored output. What another test left open is none of ours.
pytestmark = pytest.mark.filterwarnings("error", "default::ResourceWarning")
NAN = math.nan
NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))


def same(a, b):
    return tuple(a) == pytest.approx(tuple(b), nan_ok=True)


# --------------------------------------------------------------------------------- how one lies


def test_an_interval_of_no_width_is_not_shown_to_be_close_to_zero():
    assert Interval(0.0, -0.4, 0.4).within(0.5) and not Interval(0.0, -0.4, 0.5).within(0.5)
    assert not Interval(0.0, 0.0, 0.0).within(0.5)
    assert not Interval(0.0, 0.0, 1e-14).has_width  # deviations of equal numbers round to this
    assert not Interval(0.0, NAN, NAN).within(0.5)


def test_an_interval_is_beyond_a_bound_on_one_side():
    assert Interval(1.0, 0.6, 1.4).beyond(0.5) and Interval(-1.0, -1.4, -0.6).beyond(0.5)
    assert not Interval(1.0, 0.5, 1.5).beyond(0.5) and not Interval(0.0, -0.6, 0.6).beyond(0.5)


def test_one_of_many_intervals_is_as_student_and_the_normal_law_have_it():
    values = [1.0, 2.0, 4.0, 4.5]
    assert same(of_mean(values).among(6, freedom=3), of_mean(values, among=6))
    found = Interval(1.0, 0.0, 3.0).among(5)
    times = stats.norm.ppf(0.995) / stats.norm.ppf(0.975)
    assert same(found, (1.0, 1 - times, 1 + 2 * times))
    assert same(Interval(1.0, 0.0, 3.0).among(1), (1.0, 0.0, 3.0))


# --------------------------------------------------------------------------------- how one reads


@pytest.mark.parametrize(
    ("interval", "spec", "text"),
    [
        (Interval(1.24, 0.26, 2.14), "+.1f", "+1.2 [+0.3, +2.1]"),
        (Interval(-1.24, -2.14, 0.0), "+.1f", "-1.2 [-2.1, +0.0]"),
        (Interval(0.5, 0.25, 0.75), ".2f", "0.50 [0.25, 0.75]"),
        (Interval(12.6, 9.7, 15.5), ".0f", "13 [10, 16]"),
        (Interval(1.0, NAN, NAN), ".1f", "1.0 [nan, nan]"),
        (Interval(0.5, 0.25, 1), "", "0.5 [0.25, 1.0]"),
        # What rounding errors leave has no sign: another processor's may be the other one.
        (Interval(-1e-12, -1e-10, 1e-12), "+.1f", "+0.0 [+0.0, +0.0]"),
        (Interval(-0.0, -1e-12, 1), ".1f", "0.0 [0.0, 1.0]"),
        (Interval(-0.04, -0.05, 0.04), "+.1f", "+0.0 [-0.1, +0.0]"),
    ],
)
def test_an_interval_reads_as_a_value_and_its_bounds(interval, spec, text):
    assert format(interval, spec) == text


@pytest.mark.parametrize(
    ("low", "high", "above", "below"),
    [
        (0.1, 2, True, False),
        (-2, -0.1, False, True),
        (-1, 1, False, False),
        (0.0, 1, False, False),
        (-1, 0.0, False, False),
        (NAN, NAN, False, False),
    ],
)
def test_an_interval_lies_above_or_below_zero_or_holds_it(low, high, above, below):
    found = Interval((low + high) / 2, low, high)
    assert (found.above, found.below) == (above, below)


# ------------------------------------------------------------------------------------- the mean


def test_the_interval_of_a_mean_by_hand():
    """Of 1, 2, 3: the standard error is 1/√3, and Student's t with 2 degrees of freedom 4.3027."""
    assert same(of_mean([1, 2, 3]), (2, 2 - 4.302653 / 3**0.5, 2 + 4.302653 / 3**0.5))


def test_several_means_have_their_level_together():
    """Student's t at 1 - 0.025/5 with two degrees of freedom, from a table."""
    assert same(of_mean([1, 2, 3], among=5), (2, 2 - 9.924843 / 3**0.5, 2 + 9.924843 / 3**0.5))
    rng = np.random.default_rng(0)
    missed = [
        any(not x.low < 0 < x.high for x in (of_mean(rng.normal(0, 1, 4), 5) for _ in range(5)))
        for _ in range(2000)
    ]
    assert 0.03 < np.mean(missed) < 0.07


@given(st.lists(NUMBERS, min_size=2, max_size=30))
def test_the_interval_of_a_mean_is_scipys(values):
    assume(len(set(values)) > 1)
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = of_mean(values)
    assert same(found, (np.mean(values), expected.low, expected.high))
    assert found.low <= found.value <= found.high


def test_the_interval_holds_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(0)
    held = [
        found.low < 3 < found.high for found in (of_mean(rng.normal(3, 2, 5)) for _ in range(4000))
    ]
    assert 0.94 < np.mean(held) < 0.96


def test_equal_repetitions_have_an_interval_of_no_width():
    assert of_mean([2.5] * 4) == (2.5, 2.5, 2.5)


def test_fewer_than_two_repetitions_have_no_bounds():
    assert same(of_mean([7]), (7, NAN, NAN))
    assert same(of_mean([]), (NAN, NAN, NAN))


def test_a_value_that_is_missing_is_not_passed_over():
    assert same(of_mean([1, NAN, 3]), (NAN, NAN, NAN))


def test_values_may_come_one_by_one():
    assert of_mean(x for x in (1, 2, 3)) == of_mean(np.array([1, 2, 3]))


# ------------------------------------------------------------------------------- by resampling


def difference(a, b):
    return float(np.mean(a) - np.mean(b))


def test_the_bootstrap_of_a_mean_is_near_the_one_of_theory():
    values = np.random.default_rng(1).normal(10, 2, 200)
    found, half = by_bootstrap(np.mean, values), 1.96 * values.std() / 200**0.5
    assert found.value == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - half, abs=0.04)
    assert found.high == pytest.approx(values.mean() + half, abs=0.04)


def test_the_bootstrap_agrees_with_scipys():
    rng = np.random.default_rng(2)
    a = rng.normal(size=60)
    b = a + rng.normal(0.3, 0.5, 60)
    found = by_bootstrap(difference, a, b, resamples=4000)
    theirs = stats.bootstrap(
        (a, b), difference, paired=True, vectorized=False, method="percentile", n_resamples=4000
    ).confidence_interval
    assert found.value == difference(a, b)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)


def test_rows_are_resampled_and_not_columns():
    """Columns with a constant difference keep it in every resample."""
    a = np.random.default_rng(3).normal(size=30)
    assert same(by_bootstrap(difference, a, a - 2), (2, 2, 2))
    assert by_bootstrap(difference, a, np.roll(a, 1)).high > 0.1


def test_the_seed_decides_the_resamples():
    values = np.random.default_rng(4).normal(size=20)
    one, again, other = (by_bootstrap(np.mean, values, seed=seed) for seed in (0, 0, 1))
    assert one == again and one.value == other.value and one[1:] != other[1:]


def test_resamples_without_a_value_are_left_out():
    """Of two rows, half of the resamples draw one row twice, which has no correlation."""
    assert same(by_bootstrap(rank_correlation, [1, 2], [5, 9]), (1, 1, 1))


def test_no_value_in_any_resample_gives_no_bounds():
    assert same(by_bootstrap(rank_correlation, [1, 1, 1], [1, 2, 3]), (NAN, NAN, NAN))
    assert same(by_bootstrap(rank_correlation, [1], [1]), (NAN, NAN, NAN))


def test_columns_that_are_not_paired_are_refused():
    for columns in ([1, 2, 3], [1, 2]), ([1, 2], [1, 2, 3]), ([], [1]):
        with pytest.raises(ValueError, match=r"the columns have \[\d, \d\] rows; give paired ones"):
            by_bootstrap(difference, *columns)


# ------------------------------------------------------------------------------ by relabelling


@pytest.mark.parametrize(
    ("found", "spec", "text"),
    [
        (Permuted(0.724, 0.04, 0.97), ".2f", "0.72 (p = 0.08)"),
        (Permuted(-0.5, 0.9, 0.2), "+.1f", "-0.5 (p = 0.40)"),
        (Permuted(0.1, 0.6, 0.7), "+.2f", "+0.10 (p = 1.00)"),
        (Permuted(-0.0, 0.5, 0.6), ".2f", "0.00 (p = 1.00)"),
        (Permuted(1.0, 1 / 5001, 1.0), ".2f", "1.00 (p = 0.00)"),
    ],
)
def test_a_permuted_statistic_reads_as_a_value_and_its_two_sided_p(found, spec, text):
    assert format(found, spec) == text


@pytest.mark.parametrize(
    ("value", "as_high", "as_low", "above", "below"),
    [
        (0.5, 0.025, 1.0, True, False),
        (0.5, 0.026, 1.0, False, False),
        (-0.5, 1.0, 0.025, False, True),
        (-0.5, 1.0, 0.026, False, False),
        # All relabellings can lie on one side of zero.
        (-0.5, 0.01, 1.0, False, False),
        (0.5, 1.0, 0.01, False, False),
        (0.0, 0.01, 0.01, False, False),
        (NAN, 0.0, 0.0, False, False),
    ],
)
def test_a_permuted_statistic_is_clear_at_5_percent(value, as_high, as_low, above, below):
    found = Permuted(value, as_high, as_low)
    assert (found.above, found.below) == (above, below)


def product(a, b):
    return float(np.dot(a, b))


def of_pairs(items, statistic, a, b, **settings):
    """The columns are those of the pairs in the order of their names."""
    return by_relabelling(statistic, *zip(*combinations(items, 2)), a, b, **settings)


@pytest.mark.parametrize(
    ("a", "value", "as_high", "as_low"),
    [
        ([1, 2, 3], 14, 1 / 6, 1),
        ([1, 3, 2], 13, 3 / 6, 5 / 6),
        ([2, 3, 1], 11, 5 / 6, 3 / 6),
        ([3, 2, 1], 10, 1, 1 / 6),
        ([2, 2, 2], 12, 1, 1),
    ],
)
def test_three_items_by_hand(a, value, as_high, as_low):
    """Their relabellings give their three pairs each order: sums of 14, 13, 13, 11, 11, 10."""
    assert of_pairs("xyz", product, a, [1, 2, 3]) == (value, as_high, as_low)


def test_items_are_relabelled_and_not_pairs():
    """Four items, and ones at the pairs of x. Six of 24 relabellings leave x where it is.

    The others leave one of the three ones in place. Of 20 choices of three pairs one is as high.
    """
    star = [1, 1, 1, 0, 0, 0]
    assert of_pairs("xyzw", product, star, star) == (3, 6 / 24, 1)
    assert of_pairs("xyzw", product, star, [0, 0, 1, 0, 1, 1]) == (1, 1, 18 / 24)


@pytest.mark.parametrize("statistic", [product, rank_correlation])
@pytest.mark.parametrize("size", [3, 4, 5])
def test_a_brute_force_over_matrices_counts_the_same(statistic, size):
    rng = np.random.default_rng(size)
    upper = np.triu_indices(size, 1)
    for _ in range(5):
        a, b = (rng.integers(0, 6, (size, size)) for _ in range(2))
        a, b = a + a.T, b + b.T
        if np.ptp(a[upper]) == 0 or np.ptp(b[upper]) == 0:
            continue
        every = [
            statistic(a[np.ix_(order, order)][upper], b[upper])
            for order in permutations(range(size))
        ]
        value = statistic(a[upper], b[upper])
        high = np.mean([f > value - 1e-9 for f in every])
        low = np.mean([f < value + 1e-9 for f in every])
        assert of_pairs("abcde"[:size], statistic, a[upper], b[upper]) == pytest.approx(
            (value, high, low)
        )


@pytest.mark.parametrize("most", [120, 50])
def test_the_order_of_rows_and_within_a_pair_does_not_matter(most):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(combinations("abcde", 2), columns=["first", "second"])
    table = table.assign(a=rng.normal(size=10), b=rng.normal(size=10))
    expected = by_relabelling(product, *table.to_dict("list").values(), most=most)
    for seed in range(5):
        turned = table.sample(frac=1, random_state=seed)  # the index is shuffled too
        swap = rng.random(10) < 0.5
        ends = turned[["first", "second"]].to_numpy()
        ends[swap] = ends[swap][:, ::-1]
        found = by_relabelling(product, *ends.T, turned.a, turned.b, most=most)
        assert found == pytest.approx(expected)


def test_unrelated_columns_have_a_uniform_p():
    """Though pairs share items, each with an effect of its own in both columns."""
    rng = np.random.default_rng(0)
    first, second = np.transpose(list(combinations(range(5), 2)))

    def column():
        effect = rng.normal(size=5)
        return effect[first] + effect[second] + rng.normal(size=10) / 2

    def correlation(a, b):
        return float(np.corrcoef(a, b)[0, 1])

    found = [by_relabelling(correlation, first, second, column(), column()) for _ in range(1000)]
    for side in ("as_high", "as_low"):
        p = np.array([getattr(one, side) for one in found])
        assert stats.kstest(p, "uniform").statistic < 0.05
        assert np.mean(p <= 0.025) == pytest.approx(0.025, abs=0.015)
    assert np.mean([one.above or one.below for one in found]) == pytest.approx(0.05, abs=0.02)


def test_of_many_items_some_relabellings_are_drawn_and_the_identity():
    rng = np.random.default_rng(0)
    a = rng.normal(size=28)
    found = of_pairs("abcdefgh", product, a, a)
    assert found == (product(a, a), 1 / 5001, 1)
    exact = of_pairs("abcde", product, a[:10], a[10:20], most=120)
    drawn, again, other = (
        of_pairs("abcde", product, a[:10], a[10:20], most=100, seed=seed) for seed in (0, 0, 1)
    )
    assert drawn == again != other
    assert 101 * drawn.as_high == pytest.approx(round(101 * drawn.as_high))
    assert 120 * exact.as_high == pytest.approx(round(120 * exact.as_high))
    for one in (drawn, other):
        assert one == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize(
    ("pairs", "text"),
    [
        (("xy", "xz"), "need each pair of 3 items once, got 2 pairs"),
        (("xy", "xz", "xy"), "need each pair of 3 items once, got 3 pairs"),
        (("xy", "xz", "yz", "yz"), "need each pair of 3 items once, got 4 pairs"),
        (("xy", "xz", "yz", "zy"), "need each pair of 3 items once, got 4 pairs"),
        (("xy", "xz", "yz", "xx"), "need each pair of 3 items once, got 4 pairs"),
    ],
)
def test_a_pair_that_is_missing_or_there_twice_is_refused(pairs, text):
    column = range(len(pairs))
    with pytest.raises(ValueError, match=text):
        by_relabelling(product, *zip(*pairs), column, column)


def test_a_column_that_does_not_vary_is_never_clear():
    found = of_pairs("abcde", rank_correlation, [1] * 10, range(10))
    assert math.isnan(found.value) and not found.above and not found.below


# --------------------------------------------------------------------------------- correlations


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ([1, 2, 3], [10, 100, 1000], 1),
        ([1, 2, 3], [3, 2, 1], -1),
        ([1, 2, 3, 4], [1, 3, 2, 4], 0.8),  # 1 - 6 · 2 / (4 · 15)
        ([1, 2, 3, 4], [2, 1, 4, 3], 0.6),
        ([1, 2, 2], [1, 2, 3], 3**0.5 / 2),  # ties share their ranks
    ],
)
def test_rank_correlations_by_hand(a, b, expected):
    assert rank_correlation(a, b) == pytest.approx(expected)
    assert rank_correlation(b, a) == pytest.approx(expected)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=2, max_size=20))
def test_rank_correlations_are_scipys(pairs):
    a, b = np.transpose(pairs)
    assume(np.ptp(a) > 0 and np.ptp(b) > 0)
    assert rank_correlation(a, b) == pytest.approx(stats.spearmanr(a, b).statistic)


@pytest.mark.parametrize(
    ("a", "b"), [([1, 1, 1], [1, 2, 3]), ([1, 2], [0, 0]), ([5], [5]), ([], [])]
)
def test_a_column_that_does_not_vary_has_no_rank_correlation(a, b):
    assert math.isnan(rank_correlation(a, b)) and math.isnan(rank_correlation(b, a))


def test_a_missing_number_leaves_no_rank_correlation():
    assert math.isnan(rank_correlation([1, 2, NAN], [1, 2, 3]))


def test_columns_of_different_lengths_have_no_rank_correlation():
    with pytest.raises(ValueError):
        rank_correlation([1, 2, 3], [1, 2])


# ------------------------------------------------------------------- repetitions on the same inputs


def test_runs_by_hand():
    a = [np.array([[1, 1, 0, 1] * 2, [1, 1, 1, 1] * 2])]
    b = [np.array([[1, 0, 0, 1] * 2, [1, 1, 0, 0] * 2])]
    found = of_runs(a, b)
    # Gains: run means 25 and 50, input means 0, 50, 50, 50 and these again.
    over_runs, over_inputs = np.var([25, 50], ddof=1) / 2, np.var([0, 50, 50, 50] * 2, ddof=1) / 8
    freedom = (over_runs + over_inputs) ** 2 / (over_runs**2 / 1 + over_inputs**2 / 7)
    half = stats.t.ppf(0.975, freedom) * math.sqrt(over_runs + over_inputs)
    assert same(found, (37.5, 37.5 - half, 37.5 + half))
    assert same(of_runs(b, a), (-37.5, -37.5 - half, -37.5 + half))
    wider = of_runs(a, b, among=4)
    assert wider.value == found.value and wider.low < found.low < found.high < wider.high


def test_one_run_is_the_paired_t_test_over_inputs():
    rng = np.random.default_rng(0)
    a, b = rng.random((1, 300)) < 0.8, rng.random((1, 300)) < 0.7
    t = stats.ttest_rel(a[0].astype(float), b[0].astype(float)).confidence_interval()
    assert same(of_runs([a], [b]), (100 * (a.mean() - b.mean()), 100 * t.low, 100 * t.high))
    # A method without seeds stands beside each run of the other.
    many = rng.random((5, 300)) < 0.8
    assert of_runs([many], [b]) == of_runs([many], [np.repeat(b, 5, 0)])


def test_tasks_count_alike_whatever_their_number_of_inputs():
    big, small = np.ones((3, 400), bool), np.ones((3, 10), bool)
    # No gain varies, so that the interval is what twice ten inputs can miss.
    least, strict = (100 * (1 - tail ** (1 / 20)) for tail in (0.025, 0.005))
    assert same(of_runs([big, small], [big, ~small]), (50, 50 - least, 50 + least))
    assert same(of_runs([big, small], [big, ~small], 5), (50, 50 - strict, 50 + strict))


def test_runs_hold_the_truth_about_as_often_as_they_say():
    """Drawn runs and drawn inputs: the interval of the difference covers what both come from."""
    rng, hits, narrow = np.random.default_rng(1), 0, 0
    for _ in range(300):
        # Two methods of unlike skill on inputs of unlike hardness, five runs each.
        hard = rng.normal(size=(1, 120))
        a, b = (
            [
                rng.random((5, 120)) < 1 / (1 + np.exp(-(s + 0.4 * rng.normal(size=(5, 1)) + hard)))
                for _ in range(2)
            ]
            for s in (1.0, 0.5)
        )
        found = of_runs(a, b)
        wide = 9.3  # the mean of two million draws of this law, in points
        hits += found.low <= wide <= found.high
        narrow += found.low <= wide + 12 <= found.high
    assert hits / 300 > 0.93
    assert narrow / 300 < 0.5  # it is no interval that holds everything


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ([], []),
        ([np.ones((2, 5))], []),
        ([np.ones((2, 5))], [np.ones((3, 5))]),
        ([np.ones((2, 5))], [np.ones((2, 4))]),
        ([np.ones((2, 1))], [np.ones((2, 1))]),
        ([np.ones((2, 5)), np.ones((3, 5))], [np.ones((2, 5)), np.ones((3, 5))]),
    ],
)
def test_runs_of_other_inputs_are_refused(a, b):
    with pytest.raises(ValueError, match="did not answer the same|give the same inputs"):
        of_runs(a, b)


def test_ranks_are_those_of_scipy_over_the_first_axis():
    g = np.random.default_rng(0)
    for shape in ((6,), (6, 3), (5, 3, 2)):
        x = g.integers(0, 4, shape)
        assert (ranked(x) == stats.rankdata(x, axis=0)).all()


def test_quantiles_are_those_of_student_and_of_the_normal_law():
    assert t_quantile(4, 3) == pytest.approx(stats.t.ppf(1 - 0.025 / 3, 4))
    assert t_quantile(np.inf) == pytest.approx(stats.norm.ppf(0.975))


@pytest.mark.parametrize("statistic", [np.mean, np.median])
def test_a_bootstrap_at_once_draws_as_one_by_one(statistic):
    x = np.random.default_rng(1).normal(size=9)
    assert by_bootstrap(statistic, x) == by_bootstrap(lambda v: statistic(v), x)
