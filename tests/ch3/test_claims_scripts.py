"""Made-up tables for the claim about text and released scripts (page 03s)."""

import pandas as pd

from mergebook.ch3.scripts import COLUMNS, OPEN
from mergebook.claims import CORRECTED, FAILS, HOLDS

CLAIM = "stats-reproducibility-statement"
APART = pd.DataFrame([("script", 1.0, 0.5, 1.5)], columns=["what", "value", "low", "high"])


def tables(text="1", script="1", starts=True, released=True):
    """Two settings; the last script has `script` for the second; all start, or only the first."""
    settings = pd.DataFrame([["rate", *["1"] * 4], ["width", text, "2", "2", script]])
    settings.columns = ["setting", *COLUMNS]
    started = pd.DataFrame({"script": COLUMNS[1:], "starts": [False, False, starts]})
    results = pd.DataFrame({"result": ["one", "two"], "released": [True, released]})
    return settings, started, results, APART


CASES = {
    CLAIM: {HOLDS: tables(), CORRECTED: tables(script="3"), FAILS: tables(text=OPEN, starts=False)}
}
NEAR = [
    (CLAIM, "a script that starts and a script for each result", CORRECTED, tables(text=OPEN)),
    (CLAIM, "the script that has all settings does not start", CORRECTED, tables(starts=False)),
    (CLAIM, "a result without a script", CORRECTED, tables(released=False)),
    (CLAIM, "open, and a result without a script", FAILS, tables(text=OPEN, released=False)),
    (CLAIM, "open in text and script alike", CORRECTED, tables(text=OPEN, script=OPEN)),
]
SAID = {
    (CLAIM, FAILS): {"missing": "width", "alike.2": {"number": 1}, "settings": 2},
    (CLAIM, "a result without a script"): {"lacking": "two"},
    (CLAIM, HOLDS): {"apart.0.lead.low": 0.5, "starts": "1 of 3 kinds of script start"},
}
ORDERED = set()
