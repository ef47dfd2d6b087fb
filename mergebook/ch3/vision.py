"""The comparison of StatsMerging with its rivals on images: who leads, and what the lead is of.

StatsMerging stands there in both readings: one network for all layers, as the text has it, and one
a layer, as the released scripts have it. Free coefficients from the same teachers have no network.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from mergebook import ledger
from mergebook.ch3.baselines import UNTRAINED_RULES, Alone, Baseline, own_models, rules_asked
from mergebook.ch3.comparing import Trials, lead, right_of, scores
from mergebook.ch3.printed import averaged
from mergebook.ch3.trials import ADAMERGING, ADAMERGING_PP, FREE, OWN, SHARED, Trial, experiment
from mergebook.intervals import of_runs
from mergebook.page import OpenSuite, Page

Table = pd.DataFrame
EXPERIMENT = experiment("comparison", coefficients=True)
WITHOUT_TRAINING = rules_asked("rules of chapter 3")
OWN_MODELS = own_models("own models")

ONE, EACH = "StatsMerging, one network", "StatsMerging, one a layer"
READINGS = (ONE, EACH)
CONTROL = "free coefficients, teachers"
RIVALS = ("AdaMerging", "AdaMerging++")
MAIN = {
    "AdaMerging": ADAMERGING,
    "AdaMerging++": ADAMERGING_PP,
    ONE: SHARED,
    EACH: OWN,
    CONTROL: FREE,
}
TASKS, SIMPLEX, ENTROPY = ", by tasks", ", simplex", ", entropy"
# Rows of App. Table 7, on ViT-B/32, and of App. Table 4, on ViT-L/14.
PRINTED = {
    "Base": "Pre-Trained",
    "Individual": "Individual",
    "Average": "Weight Averaging",
    "Task arithmetic": "Task Arithmetic",
    "TIES": "TIES-Merging",
    "Fisher": "Fisher Merging",
    "RegMean": "RegMean",
    "AdaMerging": "LW AdaMerging",
    "AdaMerging++": "LW AdaMerging++",
    ONE: "LW StatsMerging",
    EACH: "LW StatsMerging",
    "AdaMerging" + TASKS: "TW AdaMerging",
    "AdaMerging++" + TASKS: "TW AdaMerging++",
    ONE + TASKS: "TW StatsMerging",
    EACH + TASKS: "TW StatsMerging",
}
NETWORKS = {
    "clip-vit-b-32": "statsmerging_table3_appendix_vitb32",
    "clip-vit-l-14": "statsmerging_table4_appendix_vitl14",
}


def compared_methods(samples: int, steps: int, test_samples: int) -> dict[str, Trial]:
    """All trainings that are compared: by layers and by tasks, free and on the simplex.

    The learner that teachers teach in the paper is here taught by entropy too.
    """
    three = {name: MAIN[name] for name in (*READINGS, CONTROL)}
    out = MAIN | {name + TASKS: replace(t, level="tasks") for name, t in MAIN.items()}
    out |= {name + SIMPLEX: replace(t, form="simplex") for name, t in three.items()}
    out |= {name + ENTROPY: replace(MAIN[name], loss="entropy") for name in READINGS}
    change = {"count": samples, "steps": steps, "test_samples": test_samples}
    return {name: replace(t, **change) for name, t in out.items()}


# ------------------------------------------------------------------------------------- the tables


def untaught(page: Page, r: OpenSuite, test_samples: int, seed: int) -> Table:
    """Answers of the rules that learn nothing, and of each task's own model, by name in `what`."""
    context = {"sources": {r.mark: r.source}, "device": page.device}
    rules = [Baseline(r.mark, n, seed=seed, test_samples=test_samples) for n in UNTRAINED_RULES]
    found = page.table(WITHOUT_TRAINING, rules, **context).rename(columns={"rule": "what"})
    each = [Alone(r.mark, name, test_samples) for name in ("Individual", "EMR")]
    models = page.table(OWN_MODELS, each, **context).rename(columns={"method": "what"})
    return pd.concat([found, models], ignore_index=True)[["what", "right"]].assign(suite=r.name)


def published(name: str) -> Mapping[str, float]:
    """The printed averages of a table by the names of this page, where it has them."""
    rows = averaged(ledger.printed(name)).printed.groupby("row").first()
    return {ours: float(rows[theirs]) for ours, theirs in PRINTED.items() if theirs in rows}


def order_of_rows(table: Table) -> Table:
    """Accuracy of every method in percent, with the one printed for ViT-B/32."""
    out = scores(table).set_index("what")
    return out.assign(**{"ViT-B/32": pd.Series(published(NETWORKS["clip-vit-b-32"]))})


def pair_leads(table: Table, pairs: Iterable[tuple[str, str]]) -> Table:
    """As `comparing.leads`, of pairs of methods: the intervals are corrected for their number."""
    pairs, out = list(pairs), []
    for a, b in pairs:
        one, together = (lead(table, a, b, among) for among in (1, len(pairs)))
        out.append((a, b, *one, together.low, together.high))
    columns = ["what", "over", "value", "low", "high", "all_low", "all_high"]
    return pd.DataFrame(out, columns=columns)


def over_rivals(table: Table) -> Table:
    """Both readings of StatsMerging, and the control, minus AdaMerging, its ++, and the control."""
    pairs = [(a, b) for a in (*READINGS, CONTROL) for b in (*RIVALS, CONTROL) if a != b]
    return pair_leads(table, pairs)


def layers_over_tasks(table: Table) -> Table:
    """Each method by layers minus the same by tasks."""
    return pair_leads(table, [(name, name + TASKS) for name in MAIN])


def teachers_over_entropy(table: Table) -> Table:
    """What learns from teachers minus the same from entropy: free coefficients, and learners."""
    pairs = [(CONTROL, "AdaMerging"), (CONTROL + TASKS, "AdaMerging" + TASKS)]
    return pair_leads(table, [*pairs, *((name, name + ENTROPY) for name in READINGS)])


def free_over_simplex(table: Table) -> Table:
    """Coefficients without a constraint minus those on the simplex."""
    return pair_leads(table, [(name, name + SIMPLEX) for name in (*READINGS, CONTROL)])


def around_average(table: Table) -> Table:
    """The average minus the base, and the experts minus the average."""
    return pair_leads(table, [("Average", "Base"), ("Individual", "Average")])


def printed_averages() -> Table:
    """Base, average and experts as the paper prints them, a network a row."""
    rows = {network: published(name) for network, name in NETWORKS.items()}
    return pd.DataFrame(rows).T[["Base", "Average", "Individual"]].rename_axis("network")


def reached(table: Table) -> Table:
    """Accuracy of both readings with its interval, beside what is printed for this network."""
    suite, out = table.suite.iloc[0], []
    known = published(NETWORKS[suite])["StatsMerging, one network"] if suite in NETWORKS else np.nan
    for name in READINGS:
        right = right_of(table, name)
        percent = of_runs(right, [np.zeros((1, each.shape[1])) for each in right])
        out.append((suite, name, *percent, known))
    return pd.DataFrame(out, columns=["suite", "what", "value", "low", "high", "printed"])


# -------------------------------------------------------------------------------------- the oracle


class Oracles(Trials):
    """Trials whose step size is the best on test inputs: an upper bound's, no method's."""

    def rows(self, trials: Sequence[Trial]) -> Table:
        """As `Trials.rows`, with the test accuracy in percent."""
        table = super().rows(trials).assign(what="one")
        every = [scores(table.iloc[i : i + 1]).accuracy[0] for i in range(len(table))]
        return table.assign(test=every).drop(columns="what")


def oracles(steps: int, test_samples: int) -> dict[str, Trial]:
    """Coefficients learnt on the test inputs with their labels, which no method may do."""
    t = replace(FREE, loss="labels", source="test", count=test_samples, test_samples=test_samples)
    t = replace(t, steps=4 * steps, batch=2 * t.batch)
    return {"oracle, free": t, "oracle, simplex": replace(t, form="simplex")}


def below_experts(found: Table, models: Table) -> Table:
    """Oracles minus the experts."""
    out = [(name, *lead(found, name, "Individual", other=models)) for name in oracles(1, 2)]
    return pd.DataFrame(out, columns=["what", "value", "low", "high"])
