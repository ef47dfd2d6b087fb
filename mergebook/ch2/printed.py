"""Arithmetic on the tables that the M-Loss paper prints, and on two other papers' baselines."""

import pandas as pd

TASKS = ["RESISC45", "Cars", "MNIST", "DTD", "EuroSAT", "GTSRB", "SUN397", "SVHN"]
MERGES = ["M-TIES", "TIES", "DARE", "Task Arithmetic", "Simple Avg."]
LABELS = ["Backbone", "Method", "Sample Size", "Random Seed", "Layer Index"]
ENSEMBLE = "Ensembling"
# Rows that bear one name in each of the papers: M-Loss, StatsMerging, FT-Classifier.
BASELINES = {
    "average": ("Simple Avg.", "Weight Averaging", "Weight Averaging"),
    "task arithmetic": ("Task Arithmetic", "Task Arithmetic", "Task Arithmetic"),
    "TIES": ("TIES", "TIES-Merging", "Ties"),
}
SHORT = dict(zip(("RE", "CA", "MN", "DT", "EU", "GT", "SU", "SV"), TASKS))

Table = pd.DataFrame


def by_backbone(table1: Table) -> dict[str, Table]:
    """Table 1 as one table a backbone, `{backbone: methods × tasks and the average}`."""
    return {
        backbone: part.drop(columns="Backbone").set_index("Method")
        for backbone, part in table1.groupby("Backbone", sort=False)
    }


def row_means(table: Table) -> Table:
    """The printed average of each row, the mean of its cells, and by how much it is off."""
    cells = table.drop(columns=["Avg", *LABELS], errors="ignore")
    mean = cells.mean(axis=1)
    return pd.DataFrame({"printed": table.Avg, "mean": mean, "off": (mean - table.Avg).abs()})


def leads(table1: Table) -> Table:
    """M-TIES minus each other row, task by task, in points."""
    parts = {
        backbone: table.loc["M-TIES", TASKS].astype(float) - table[TASKS].drop(index="M-TIES")
        for backbone, table in by_backbone(table1).items()
    }
    return pd.concat(parts, names=["backbone", "minus"])


def least_lead(table1: Table) -> float:
    """By how much M-TIES' average is above the next merge's, on the backbone where that is less."""
    means = [table.Avg[MERGES] for table in by_backbone(table1).values()]
    return float(min(mean["M-TIES"] - mean.drop("M-TIES").max() for mean in means))


def spreads(table1: Table) -> Table:
    """The variance of accuracy over tasks (ddof 0, squared points), methods × backbones."""
    variance = {b: t.loc[MERGES, TASKS].var(axis=1, ddof=0) for b, t in by_backbone(table1).items()}
    return pd.DataFrame(variance)


def gap_spreads(table1: Table) -> Table:
    """The variance over tasks of the gap to the ensemble, which takes the tasks' difficulty out."""
    out = {}
    for backbone, table in by_backbone(table1).items():
        gap = table.loc[ENSEMBLE, TASKS].astype(float) - table.loc[MERGES, TASKS]
        out[backbone] = gap.astype(float).var(axis=1, ddof=0)
    return pd.DataFrame(out)


def seeds(table3: Table) -> tuple[Table, pd.Series]:
    """The rows of the seeds, a number each, and the printed row of their deviations."""
    numbers = table3.set_index("Random Seed").astype(float)
    return numbers.drop(index="Std"), numbers.loc["Std"]


def baselines(table1: Table, statsmerging: Table, ftclassifier: Table, within=0.5) -> Table:
    """For each baseline the cells, of eight on ViT-B/32, that another paper prints otherwise.

    A cell counts if the two differ by more than `within` points.
    """
    ours = by_backbone(table1)["ViT-B/32"]
    others = {
        "StatsMerging": statsmerging.rename(columns=SHORT).set_index("Method"),
        "FT-Classifier": ftclassifier.set_index("Method"),
    }
    rows = []
    for baseline, (mine, *theirs) in BASELINES.items():
        for (paper, table), name in zip(others.items(), theirs):
            apart = (ours.loc[mine, TASKS] - table.loc[name, TASKS]).astype(float).abs()
            rows.append((baseline, paper, int((apart > within).sum()), apart.max()))
    return pd.DataFrame(rows, columns=["baseline", "paper", "cells", "largest"])
