"""Intervals: against values by hand and by scipy, how they read, and what has none."""

import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy import stats

from mergebook.intervals import Interval, by_bootstrap, of_mean, rank_correlation

# A warning would reach the page's stored output. What another test left open is none of ours.
pytestmark = pytest.mark.filterwarnings("error", "default::ResourceWarning")
NAN = math.nan
NUMBERS = st.floats(-1e3, 1e3).map(lambda x: round(x, 3))


def same(a, b):
    return tuple(a) == pytest.approx(tuple(b), nan_ok=True)


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
