"""Claims about models of other tasks, Table 3 of the supplement (page 04o)."""

import pandas as pd

from mergebook.ch4.compared import ahead_of, score_intervals
from mergebook.ch4.curves import network_rows
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
MODEL1 = 70.37  # percent, of the CIFAR-100 model alone, in the caption of Table 3
STATED = (24.25, 61.38)  # the least and the best soup


@claim("rethink-table3-cross-task")
def donors_bring_something(printed: Table, scores: Table) -> Outcome:
    """Printed soups are between donor and model, and donors beat the start moved at random here.

    Corrected: printed so, and the random body clearly does better, in each network. Fails: not
    printed so.
    """
    low, high = printed.soup.min(), printed.soup.max()
    between = ((printed.soup > printed.alone) & (printed.soup < MODEL1)).all()
    as_printed = bool((low, high) == STATED and between)
    pairs = {
        "over_random": ("soups", "random"),
        "over_itself": ("soups", "itself"),
        "over_donor": ("soups", "alone"),
        "sister": ("sister", "random"),
    }
    found = {name: score_intervals(ahead_of(scores, *pair)) for name, pair in pairs.items()}
    values = {name: network_rows(each) for name, each in found.items()} | {
        "low": low,
        "high": high,
        "donors": len(printed),
        "intervals": sum(map(len, found.values())),
        "starts": scores.seed.nunique(),
    }
    gains = found["over_random"].values()
    useful = bool(gains) and all(x.low > 0 for x in gains)
    useless = bool(gains) and all(x.high < 0 for x in gains)
    return weighed(as_printed and useful, not as_printed, as_printed and useless, values)


@claim("rethink-table3-tinyimagenet-soup-beats-ensemble")
def one_soup_over_its_ensemble(printed: Table, over: Table) -> Outcome:
    """As printed, the soup with Tiny ImageNet is above the ensemble of logits, and no other is.

    `over` tells for how many donors that is so here, and decides nothing.
    """
    by = printed.set_index("donor")
    ahead = list(by.index[by.soup > by.logits])
    rest = by.drop(index="TinyImageNet")
    own = by.loc["TinyImageNet"]
    values = {
        "ahead": ", ".join(sorted(ahead)) or "none",
        "soup": own.soup,
        "logits": own.logits,
        "others": rest.logits.min(),
        "best": rest.soup.max(),
        "donors": len(by),
        "here": len(over),
        "plain": int((over.plain > 0).sum()),
        "plain_clear": int((over.plain_low > 0).sum()),
        "even": int((over.even > 0).sum()),
        "even_clear": int((over.even_low > 0).sum()),
    }
    return Outcome(ahead == ["TinyImageNet"], values=values)
