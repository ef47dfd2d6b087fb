"""Makers of made-up tables, from which a claim's verdict is known beforehand."""

import math

import pandas as pd
import torch
from scipy import stats

from mergebook import studies

NAN = math.nan
T1 = stats.t.ppf(0.975, 1)


def two(mean, half):
    """The values of two worlds whose 95 % interval is `mean` ± `half`."""
    return mean - half / T1, mean + half / T1


def frame(**columns):
    return pd.DataFrame(columns)


def packed(right, n=100):
    """Answers to `n` inputs, the first `right` of them right."""
    return studies.pack_answers({"": torch.arange(n) < right})[""]
