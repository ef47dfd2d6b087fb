"""Scores with wrong labels, and averages of pairs on their own tasks."""

import pytest
from tables import frame, packed

from mergebook.ch2 import uses


def test_all_labels_become_wrong(pictures):
    other = uses.relabelled(pictures)
    for name, task in pictures.suite.tasks.items():
        for split, labels in task.labels.items():
            assert len(labels) and (other.suite.tasks[name].labels[split] != labels).all()
        assert other.suite.tasks[name].inputs is task.inputs


def test_scores_do_not_change_with_labels_and_one_that_reads_them_is_seen(pictures, monkeypatch):
    found = uses.scores_relabelled([pictures], 2, 0)
    assert len(found) == 4 and (found.apart == 0).all() and (found.nodes > 0).all()

    def by_labels(r, how, samples, draw):
        return {"x": 1.0 + r.labels(r.tasks[0])[:samples].double()}

    monkeypatch.setattr(uses, "scored", by_labels)
    assert (uses.scores_relabelled([pictures], 2, 0).apart > 0.1).all()


def test_pairs_are_measured_against_their_experts(monkeypatch):
    rows = frame(suite=["s"], first=["a"], second=["b"])
    counts = {"right_first": 60, "right_second": 70, "expert_first": 90, "expert_second": 80}
    rows = rows.assign(**{name: packed(n) for name, n in counts.items()})
    monkeypatch.setattr(uses, "stored", lambda experiment, chapter: rows)
    found = uses.pairs_on_own().iloc[0]
    assert found["pair"] == "a + b" and found.value == pytest.approx(-20)
    assert found.low < -20 < found.high < 0
