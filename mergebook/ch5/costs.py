"""What FT-Classifier costs beside one evaluation, counted in multiplications (page 05b)."""

from collections.abc import Iterable

import pandas as pd
from torch.utils.flop_counter import FlopCounterMode

from mergebook.page import OpenSuite

Table = pd.DataFrame
SAMPLE = 20  # inputs on which the work of an encoder is counted


def work_of(r: OpenSuite, task: str) -> float:
    """Multiply-adds of the encoder for one test input of a task, a mean over a few."""
    inputs = r.suite.task(task).inputs["test"][:SAMPLE]
    with FlopCounterMode(display=False) as counter:
        r.backbone.embed(r.base, inputs)
    return counter.get_total_flops() / 2 / len(inputs)


def extra_work(r: OpenSuite, shots: int, inputs: int, steps: int) -> Table:
    """A row a task: work that the protocol adds, in percent of an evaluation of `inputs` inputs.

    `encoding`: `shots` samples of each class through the merge and through the expert, once;
    `training`: `steps` steps of the head on their features, forwards and backwards. `enough`: how
    many test inputs it takes until the encoding is below a tenth.
    """
    rows = []
    for name, task in r.suite.tasks.items():
        classes, one = len(task.classes), work_of(r, name)
        tested = min(inputs, len(task.inputs["test"]))
        samples = shots * classes
        head = 3 * steps * samples * classes * r.backbone.width
        row = {"suite": r.name, "task": name, "samples": samples, "inputs": tested}
        row |= {"encoding": 100 * 2 * samples / tested, "enough": 20 * samples}
        rows.append(row | {"training": 100 * head / (tested * one)})
    return Table(rows)


def of_suites(tables: Iterable[Table]) -> Table:
    """The rows of several suites, one below the other."""
    return pd.concat(tables, ignore_index=True)
