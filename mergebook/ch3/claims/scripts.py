"""The claim that text and released scripts specify one method (evidence page 03s)."""

import pandas as pd

from mergebook.ch3.comparing import of_lead
from mergebook.ch3.scripts import OPEN, TEXT
from mergebook.claims import Outcome, claim

Table = pd.DataFrame


@claim("stats-reproducibility-statement")
def fully_specified(settings: Table, started: Table, results: Table, apart: Table) -> Outcome:
    """The text gives every setting, and a script has them all, starts, and each result has one.

    Corrected: the text gives every setting, or a script starts and each result has one. `apart` has
    the leads of trainings after the scripts over those after the text.
    """
    scripts = [c for c in settings.columns if c not in ("setting", TEXT)]
    alike = {name: int((settings[name] == settings[TEXT]).sum()) for name in scripts}
    missing = list(settings.setting[settings[TEXT] == OPEN])
    starts = started.set_index("script").starts
    there = bool(results.released.all())
    whole = any(alike[name] == len(settings) and starts[name] for name in scripts)
    values = {
        "settings": len(settings),
        "missing": ", ".join(missing) or "none",
        "alike": [{"script": name, "number": number} for name, number in alike.items()],
        "starts": f"{int(started.starts.sum())} of {len(started)} kinds of script start",
        "lacking": ", ".join(results.result[~results.released]) or "nothing",
        "apart": [{"what": row.what, "lead": of_lead(row)} for row in apart.itertuples()],
    }
    holds = not missing and whole and there
    alone = not missing or bool(starts.any() and there)
    return Outcome(bool(holds), alone, values)
