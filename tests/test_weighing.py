"""How numbers decide: bounds, intervals, and what is no number."""

import math

import numpy as np
import pandas as pd
import pytest
from tables import NAN, two

from mergebook.claims import CORRECTED, FAILS, HOLDS, UNDECIDED
from mergebook.intervals import of_mean
from mergebook.weighing import below, weighed


def test_an_interval_that_touches_zero_is_neither_above_nor_below():
    assert of_mean(two(5, 4.99)).above and not of_mean(two(5, 5.01)).above
    assert of_mean(two(-5, 4.99)).below and not of_mean(two(-5, 5.01)).below


# ------------------------------------------------------------------------ how numbers decide


@pytest.mark.parametrize(
    ("numbers", "found"),
    [
        ([0.0, 0.9], True),
        ([0.0, 1.0], False),
        ([2.0, 3.0], False),
        ([0.0, NAN], None),
        ([2.0, NAN], None),
        ([], None),
        ([math.inf], False),
    ],
)
def test_what_is_no_number_lies_neither_below_a_bound_nor_above(numbers, found):
    assert below(numbers, 1.0) is found
    assert below(pd.Series(numbers, dtype=float), 1.0) is found


@pytest.mark.parametrize(
    ("holds", "against", "corrected", "verdict"),
    [
        (True, False, False, HOLDS),
        (True, False, True, HOLDS),
        (False, False, True, CORRECTED),
        (False, True, True, CORRECTED),
        (False, True, False, FAILS),
        (False, False, False, UNDECIDED),
    ],
)
def test_only_what_intervals_exclude_fails(holds, against, corrected, verdict):
    assert weighed(holds, against, corrected).verdict == verdict
    assert weighed(np.bool_(holds), np.bool_(against), np.bool_(corrected)).verdict == verdict
