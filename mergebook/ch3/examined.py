"""Trained merges, examined further: rows whose key holds the settings of a trial, and more."""

from collections.abc import Iterable
from dataclasses import fields
from functools import lru_cache

import numpy as np
import pandas as pd

from mergebook.ch3.trials import Learnt, Trial, learn
from mergebook.experiments import Tolerance
from mergebook.page import OpenSuite

IMPRINT = Tolerance(relative=2e-3)  # of `losses`, by which a row is known: see `trials.TOLERANCES`


def trial_of(key: Trial) -> Trial:
    """The trial in a key that has further fields."""
    return Trial(**{f.name: getattr(key, f.name) for f in fields(Trial)})


@lru_cache(maxsize=64)
def relearnt(r: OpenSuite, t: Trial) -> Learnt:
    """A trial's training, once in a process."""
    return learn(r, t)


def course(found: Learnt) -> list[float]:
    """The losses of a training in ten parts, the means, as rows of trials have them."""
    losses = found.trained.losses
    return [round(float(p.mean()), 5) for p in np.array_split(losses, min(10, len(losses)))]


def examined(
    table: pd.DataFrame, names: Iterable[str], kind: type, **more
) -> list[tuple[str, Trial]]:
    """`(name, key)` of each row of these methods: its trial as a key of `kind` with `more`.

    `table` is one of `Trials`; the settings of a trial are its columns.
    """
    out = []
    for _, row in table[table.what.isin(names)].iterrows():
        settings = {f.name: type(f.default)(row[f.name]) for f in fields(Trial)}
        out.append((row.what, kind(**settings | more)))
    return out
