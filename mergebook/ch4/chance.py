"""What chance gives on page 04b: random rows on random images, and blends of random vectors."""

import pandas as pd
import torch
from torch.nn import functional as F

from mergebook.ch4.templates import alignment_of, blended, without_mean

Table = pd.DataFrame


def random_alignment(table: Table, pixels: int, images: int, seed: int, draws: int = 20) -> Table:
    """`alignment_of` random images, in percent of them: the control of a table of `LINEAR`.

    Rows are random directions with the lengths of each task's rows, less their mean: those of a
    linear classifier that starts at zero add up to zero too. The mean of some draws of rows.
    """
    g, found = torch.Generator().manual_seed(seed), []
    x = torch.randn(images, pixels, generator=g, dtype=torch.float64)
    for task, part in table.groupby("task", sort=False):
        lengths, drawn = torch.tensor(part.lengths.iloc[0], dtype=torch.float64), []
        for _ in range(draws):
            rows = torch.randn(len(lengths), pixels, generator=g, dtype=torch.float64)
            rows = without_mean(F.normalize(rows, dim=1) * lengths[:, None])
            drawn.append(alignment_of(rows, torch.zeros_like(lengths), x))
        shares = {
            n: 100 * float(torch.stack([d[n] for d in drawn]).double().mean()) for n in drawn[0]
        }
        found.append({"task": task, "rows": len(lengths)} | shares)
    return pd.DataFrame(found)


def random_blend(pairs: int, pixels: int, seed: int) -> Table:
    """`blended` of random vectors of one length, the control, as a table of one row."""
    g = torch.Generator().manual_seed(seed)
    vectors = torch.randn(2 * pairs, pixels, generator=g, dtype=torch.float64)
    return pd.DataFrame([blended(vectors)])
