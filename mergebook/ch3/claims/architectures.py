"""Claims about other architectures: students, Algorithm 1, moved coefficients (pages 03n, 03o)."""

import pandas as pd

from mergebook.ch3.comparing import of_lead
from mergebook.claims import Outcome, claim
from mergebook.weighing import weighed

Table = pd.DataFrame
MATCH = 1.5  # points: what a match may miss
KEPT = 0.5  # of the students' accuracy, by the plain average: less is no merge to compare with


def readings(table: Table, by: list[str]) -> list[dict]:
    """For each reading whether all its intervals lie above zero, and whether one excludes that."""
    out = []
    for names, part in table.groupby(by, sort=False):
        rows = part.sort_values("over", kind="stable")
        out.append(
            {
                "reading": ", ".join(names),
                "above": bool((part.low > 0).all()),
                "excluded": bool((part.all_high < 0).any()),
                "leads": "; ".join(f"{r.over} {of_lead(r):+.1f}" for r in rows.itertuples()),
            }
        )
    return sorted(out, key=lambda row: row["reading"])


def shown_by(found: list[dict]) -> str:
    """The readings whose intervals all lie above zero, in words."""
    return "; ".join(row["reading"] for row in found if row["above"])


@claim("stats-distilled-matches-teacher")
def matches_teacher(printed: Table, gaps: Table) -> Outcome:
    """The printed students are less than 1.5 points below their teachers; corrected: one is.

    `gaps` are those of our students: in the note, they do not decide.
    """
    cells = printed.set_index("Method").loc["Individual Distilled", ["CA", "EU"]]
    pairs = {name: [float(v) for v in cell.split()] for name, cell in cells.items()}
    missed = {name: round(teacher - student, 2) for name, (teacher, student) in pairs.items()}
    near = {name: gap < MATCH for name, gap in missed.items()}
    errors = {n: (100 - s) / max(100 - t, 1e-9) for n, (t, s) in pairs.items()}
    values = {
        "gaps": [{"task": n, "gap": g} for n, g in missed.items()],
        "near": " and ".join(n for n in near if near[n]),
        "far": " and ".join(n for n in near if not near[n]),
        "errors": max(errors.values()),
        "ours": [
            {"task": r.task, "what": r.over, "gap": of_lead(r)}
            for r in gaps.sort_values(["task", "over"]).itertuples()
        ],
    }
    return Outcome(all(near.values()), any(near.values()), values)


def earlier_merges(works: Table) -> Table:
    """The works before the paper's own that merge weights of several architectures, by month."""
    own = works[works.own].month.min()
    before = ~works.own & (works.month < own) & works.architectures & works.weights
    return works[before].sort_values("month")


@claim("stats-hetero-no-identity-assumption")
def no_identity(merges: Table, works: Table) -> Outcome:
    """Networks of two architectures are merged as they are, and no earlier work merged such ones.

    Corrected: so after distillation, or among merges of models of images. `works` have a month (as
    in arXiv numbers), and say whether they take several architectures, merge weights, and are of
    images.
    """
    before = earlier_merges(works)
    accepted = merges.set_index("models").accepted
    values = {
        "as_they_are": bool(accepted["as they are"]),
        "distilled": bool(accepted["distilled"]),
        "earlier": [{"work": r.work, "arxiv": r.arxiv} for r in before.itertuples()],
        "count": len(before),
    }
    first = {"": before.empty, ", for images": before[before.images].empty}
    some = values["as_they_are"] or values["distilled"]
    values["where"] = next((name for name, none in first.items() if none), "")
    holds = first[""] and values["as_they_are"]
    return Outcome(bool(holds), bool(some and any(first.values())), values)


@claim("stats-first-unseen-architecture")
def first_on_unseen(works: Table) -> Outcome:
    """No earlier work asks its coefficients of an unseen architecture, or merges several at all.

    Corrected: the first half. Fails: an earlier one asks them so.
    """
    before = earlier_merges(works)
    asked = before[before.unseen]
    values = {
        "earlier": ", ".join(f"{r.work} (arXiv:{r.arxiv})" for r in before.itertuples()) or "none",
        "asked": ", ".join(asked.work) or "none",
        "count": len(before),
    }
    return Outcome(before.empty, asked.empty, values)


@claim("stats-hetero-pipeline")
def students_merge(leads: Table) -> Outcome:
    """StatsMerging leads the average and task arithmetic on students, under each reading.

    A reading is a network and a kind of moments. Corrected: under one.
    """
    found = readings(leads, ["what", "moments"])
    values = {"rows": found, "shown": shown_by(found), "intervals": len(leads)}
    clear = [row["above"] for row in found]
    against = all(row["excluded"] for row in found)
    return weighed(all(clear), against, any(clear), values)


@claim("stats-distillation-below-merge")
def distillation_below(leads: Table, kept: Table) -> Outcome:
    """StatsMerging leads one network distilled from all teachers, under each reading.

    Corrected: under one. It fails only where merges work: the average keeps half of what students
    know, with one kind of moments or the other.
    """
    found = readings(leads, ["what", "moments"])
    least, share = float(kept.share.min()), float(kept.share.max())
    clear = [row["above"] for row in found]
    against = all(row["excluded"] for row in found) and share >= KEPT
    values = {"rows": found, "shown": shown_by(found), "kept": 100 * share}
    values["least"] = 100 * least
    return weighed(all(clear), against, any(clear), values)


@claim("stats-algorithm1")
def whole_recipe(leads: Table, listing: Table) -> Outcome:
    """The listing runs as printed, and its merge is above the average with either network.

    Corrected: with the merge after the loop and the learner trained, above it with one.
    """
    runs = listing.set_index(["version", "models"]).right
    printed = bool(runs["as printed"].all())
    over = leads[leads.over == "Average"]
    clear, against = (over.low > 0).tolist(), bool((over.all_high < 0).all())
    values = {
        "printed": printed,
        "alone": bool(runs["as printed", 1]),
        "mended": bool(runs["after the loop"].all()),
        "rows": readings(leads, ["what"]),
        "shown": "; ".join(sorted(over.what[over.low > 0])),
    }
    corrected = any(clear) and values["mended"]
    return weighed(printed and all(clear), against, corrected, values)


@claim("stats-table9-unseen-architecture")
def moved_lead(over_ada: Table, over_average: Table) -> Outcome:
    """Moved StatsMerging leads moved AdaMerging under each reading, with either kind of moments.

    A reading is a network, a form of its coefficients and a way to move them. Corrected: under one
    with one kind of moments, by intervals that together have 95 %, since it is one of many. What
    sums to 1 is compared with AdaMerging scaled to the sum 1.
    """
    found = []
    for reading, part in over_ada.groupby("reading"):
        part = part.sort_values("moments")
        leads = (f"{r.moments} {of_lead(r):+.1f}" for r in part.itertuples())
        found.append({"reading": reading, "leads": "; ".join(leads)})
    clear = over_ada[over_ada.all_low > 0]
    values = {
        "rows": found,
        "shown": "; ".join(sorted(clear.reading + ", " + clear.moments)),
        "intervals": len(over_ada),
        "best": float(over_average.value.max()),
    }
    against = bool((over_ada.all_high < 0).all())
    return weighed(bool((over_ada.low > 0).all()), against, not clear.empty, values)


@claim("stats-transfer-below-average")
def moved_below_average(over_average: Table) -> Outcome:
    """Observation: no moved coefficients are clearly above one half each, with either moments."""
    best = over_average.loc[over_average.value.idxmax()]
    values = {
        "count": len(over_average),
        "below": int((over_average.high < 0).sum()),
        "best": of_lead(best),
        "reading": f"{best.reading}, {best.moments}",
    }
    return Outcome(bool((over_average.low <= 0).all()), values=values)
