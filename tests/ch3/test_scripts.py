"""Text and released scripts, setting by setting (page 03s)."""

from dataclasses import replace

import pytest
import torch

from mergebook.ch3 import scripts
from mergebook.ch3.trials import learn


def test_every_setting_has_an_entry_for_text_and_scripts():
    found = scripts.text_and_scripts()
    assert found.shape == (len(scripts.SETTINGS), 5) and found.notna().all(axis=None)
    marked = scripts.marked(found)
    assert marked.loc["step size"].tolist() == ["0.001", "= 0.001", "= 0.001", "0.0001"]


def test_a_main_that_names_its_object_like_its_class_stops():
    found = scripts.started()
    assert not found.starts.any() and set(found.error) == {"UnboundLocalError"}


@pytest.mark.parametrize("name", scripts.COLUMNS)
def test_trainings_after_text_and_scripts(pictures, name):
    t = replace(scripts.faithful(steps=4, samples=4)[name], batch=2, models=pictures.mark)
    assert t.rate == 0.001 and t.steps == 4
    found = learn(pictures, t)
    moved = not torch.allclose(found.coefficients, torch.full_like(found.coefficients, 0.5))
    head = found.trained.suite.task("pets").head["weight"]
    trained = not torch.equal(head, pictures.suite.task("pets").head["weight"])
    assert moved == (name != scripts.LAYERWISE)
    assert trained == (name != scripts.TEXT)
    assert found.coefficients.shape[1] == (1 if name == scripts.TASKWISE else len(_layers(found)))


def _layers(found):
    return found.features[0]
