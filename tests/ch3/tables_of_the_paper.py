"""The printed tables of StatsMerging, some of their cells changed."""

from mergebook import ledger

SECOND = ("Val", "Loss", "Data", "Level")  # columns that are part of a row's name


def table(name, changes=None):
    """A printed table; `changes` are `{(row, column): cell}`, of every row of that name."""
    found = ledger.printed(f"statsmerging_{name}").astype(object)
    labels = found.iloc[:, 0].astype(str)
    if found.columns[1] in SECOND:
        labels = labels + " " + found.iloc[:, 1].astype(str)
    for (row, column), cell in (changes or {}).items():
        assert (labels == row).any() and column in found, f"{name} has no {row}, {column}"
        found.loc[labels == row, column] = cell
    return found
