"""How numbers decide: what is no number, or an interval that holds both, decides nothing."""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from mergebook.claims import Outcome


def below(numbers: Iterable[float], bound: float) -> bool | None:
    """Whether all numbers lie below a bound; None if there are none, or one is NaN."""
    numbers = np.asarray(list(numbers), float)
    if not len(numbers) or np.isnan(numbers).any():
        return None
    return bool((numbers < bound).all())


def weighed(
    holds: bool, against: bool, corrected: bool = False, values: Mapping[str, Any] | None = None
) -> Outcome:
    """An outcome of intervals: it *fails* only if they exclude it under each reading, `against`.

    Where they neither show the claim or its correction nor exclude both, it is not decidable here.
    """
    undecided = not (holds or corrected or against)
    return Outcome(None if undecided else bool(holds), bool(corrected), values or {})
