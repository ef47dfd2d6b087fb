"""The text of StatsMerging beside its released scripts, setting by setting (page 03s).

The table comes from reading the scripts at the commit that `book/claims/released.yml` names; no
code of theirs is here.
"""

from dataclasses import replace

import pandas as pd

from mergebook.ch3.trials import FREE, SHARED, Trial, experiment

Table = pd.DataFrame
SCRIPTS = experiment("scripts")
TEXT, TASKWISE, LAYERWISE, PLUS = COLUMNS = (
    "text",
    "script, task-wise",
    "scripts, layer-wise",
    "script, StatsMerging++",
)
OPEN = "not given"
SETTINGS = {
    "reads": (
        "weights of one layer of one expert",
        "changes of all experts together",
        "a layer's changes, all experts together",
        "changes of all experts and the base together",
    ),
    "numbers": ("6", "6", "6", "3"),
    "networks": ("one", "one", "one a layer", "one a layer"),
    "linear layers": ("2", "3", "3", "3"),
    "width": (OPEN, "256", "256", "128"),
    "coefficients": (
        "free (Section 3.1), or on the simplex (Eq. 10)",
        "softmax over experts",
        "softmax over experts, or a ReLU; no gradient",
        "softmax over experts and base",
    ),
    "optimiser": ("Adam", "AdamW, decay 0.0001", "AdamW, decay 0.0001", "Adam"),
    "step size": ("0.001", "0.001", "0.001", "0.0001"),
    "epochs": ("500", "500", "500", "650"),
    "schedule": (
        "a tenth every 100 epochs",
        "cosine, period 100",
        "cosine, period 100",
        "less when the loss stalls",
    ),
    "an epoch": (OPEN, "one batch a task", "one batch a task", "all inputs"),
    "inputs in a batch": (OPEN, "4", "4", "80"),
    "targets": ("teachers' answers", "labels", "labels", "labels"),
    "heads": ("frozen", "trained too", "trained, and nothing else", "trained too"),
    "model kept": (OPEN, "best by test accuracy", "best by test accuracy", "the last"),
}
RESULTS = {  # results of the paper, and whether the repository has a script for them
    "eight vision tasks": True,
    "distilling a ViT into a ResNet50": True,
    "CIFAR-10 on a ResNet": True,
    "merging ResNets": False,
    "seven language tasks": False,
    "14 and 20 tasks": False,
    "corrupted images": False,
    "teachers' answers as targets": False,
    "subsets of 1 % and 5 %": False,
    "loading the data sets": False,
}


def text_and_scripts() -> Table:
    """`setting`, what the text says of it, and what each kind of script does."""
    found = pd.DataFrame.from_dict(SETTINGS, orient="index", columns=list(COLUMNS))
    return found.rename_axis("setting").reset_index()


def results() -> Table:
    """`result` of the paper, and whether a script for it is `released`."""
    return pd.DataFrame(RESULTS.items(), columns=["result", "released"])


def main_of_a_script() -> object:
    """What each merging script does in `main`: it names an object like the class it is made of."""
    Merging = Merging()  # noqa: F821, F823
    return Merging


def started() -> Table:
    """Whether a function of the pattern of each script starts, and the error it stops with."""
    try:
        main_of_a_script()
        error = ""
    except UnboundLocalError as found:
        error = type(found).__name__
    rows = [(name, not error, error) for name in COLUMNS[1:]]
    return pd.DataFrame(rows, columns=["script", "starts", "error"])


def faithful(steps: int = 500, samples: int = 64) -> dict[str, Trial]:
    """Trainings as near to each column as a trial can be.

    For the scripts: a constant rate, a softmax, labels, trained heads. Cosine, plateaus, weight
    decay, the base in the softmax and batches of 80 are not copied. What their networks read is
    constant, so free coefficients stand for them. A network a layer by the printed schedule is on
    page 03r.
    """
    script = replace(FREE, form="simplex", loss="labels", drop=1.0)
    made = {
        TEXT: replace(SHARED, drop=0.2),
        TASKWISE: replace(script, level="tasks", heads="too"),
        LAYERWISE: replace(script, heads="only"),
        PLUS: replace(script, heads="too"),
    }
    return {n: replace(t, rate=1e-3, steps=steps, count=samples) for n, t in made.items()}


def marked(found: Table) -> Table:
    """The settings with those of each script that are the text's marked by an equals sign."""
    out = found.set_index("setting")
    for name in COLUMNS[1:]:
        out[name] = [f"= {a}" if a == b else a for a, b in zip(out[name], out[TEXT])]
    return out
