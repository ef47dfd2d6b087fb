"""Merging rules: pure functions from a base and its experts to one state dict.

`experts` is a sequence of state dicts like the base. Integer tensors keep the base's value. Each
rule is arithmetic on a *stack*: the task vectors of all experts along the first axis (`trim`,
`drop`, `elect`, `disjoint_mean`). A rule works on slabs of the stack; `ties.stream(…)` gives the
tensors one by one, where `ties(…)` gives them all.

Every file of this package that holds a function under `@rule` is found here: `RULES` has them by
name, and each is an attribute of this package.
"""

import pkgutil
from importlib import import_module

from mergehelpers.merge.arithmetic import count_kept, disjoint_mean, drop, dropped, elect, trim
from mergehelpers.merge.knots import align
from mergehelpers.merge.registry import Rule, table
from mergehelpers.merge.vectors import combine, emr, lines, vectors_stacked

__all__ = [
    "RULES",
    "align",
    "combine",
    "count_kept",
    "disjoint_mean",
    "drop",
    "dropped",
    "elect",
    "emr",
    "lines",
    "table",
    "trim",
    "vectors_stacked",
]

RULES: dict[str, Rule] = {}
for _module in sorted(module.name for module in pkgutil.iter_modules(__path__)):
    for _found in vars(import_module(f"{__name__}.{_module}")).values():
        if isinstance(_found, Rule) and _found.__module__ == f"{__name__}.{_module}":
            RULES[_found.name] = _found
globals().update(RULES)  # `merge.ties` is the rule, not the file that holds it
