"""What a learnt merge costs (page 03t), on a tiny suite and by hand."""

from types import SimpleNamespace

import pandas as pd
import pytest
import torch

from mergebook.ch3 import price
from mergebook.ch3.comparing import Trials
from mergebook.ch3.price import BASES, EPOCH, OTHER_STEP, STEP, TWO_STEP, VIT
from mergebook.experiments import Store
from mergebook.studies import pack_answers

ONE, OWN = price.READINGS


@pytest.fixture(scope="module")
def done(pictures):
    return price.work(pictures, samples=4)


def test_operations_of_a_decomposition_by_hand():
    assert price.of_decomposition(4, 2) == price.of_decomposition(2, 4) == 6 * 4 * 4 + 20 * 8
    wide = price.of_shared_basis([(2, 3), (5,), (4, 1, 2)], experts=2)
    assert wide == price.of_decomposition(2, 6) + price.of_decomposition(4, 4)


def test_operations_of_a_product():
    a, b = torch.ones(3, 4), torch.ones(4, 5)
    assert price.operations(lambda: a @ b) == 2 * 3 * 4 * 5


def test_work_of_a_suite_and_of_the_papers_network(pictures, done):
    found = done.set_index(["network", "what"]).operations
    assert (found > 0).all() and len(found) == len(done) == 10
    tiny = found[pictures.name]
    assert tiny[STEP] < tiny[EPOCH] and tiny[OTHER_STEP] > tiny[STEP] / 2
    assert tiny[f"{price.LEARNER}, {STEP}"] < tiny[STEP]
    assert found[VIT, STEP] == 2 * found[VIT, TWO_STEP]
    # Two for a multiply-add, forward and twice backward: about six times 4.4 G a picture.
    assert found[VIT, STEP] / 16 == pytest.approx(6 * 4.4e9, rel=0.05)


def test_a_suite_of_pictures_is_no_suite_of_texts(pictures):
    with pytest.raises(ValueError, match=f"{pictures.name} holds no texts: .* has "):
        price.require_texts(pictures)


def test_ratio_and_hours_by_hand():
    done = pd.DataFrame(
        [("a", TWO_STEP, 2.0), ("a", BASES, 6.0), (VIT, STEP, price.PEAK * 7.2)],
        columns=["network", "what", "operations"],
    )
    found = price.times_the_cost(done[:2]).set_index("batch").times
    assert found[4] == 4 and found[80] == pytest.approx(1 + 3 / 20)
    hours = price.least_hours(done).hours
    assert hours[0] == pytest.approx(1.0) and hours[1] == pytest.approx(price.TESTED / 16)


def trained(**falls):
    """Two repetitions of each training: losses, and 10 answers to each of two tasks."""
    rows = []
    for what, (losses, right) in falls.items():
        packed = list(pack_answers({"": torch.arange(10) < right}).values()) * 2
        rows += [{"what": what, "losses": losses, "right": packed}] * 2
    return pd.DataFrame(rows)


def test_what_a_shared_basis_changes_by_hand():
    slow, quick = [1.0, 0.9, 0.8, 0.5], [1.0, 0.6, 0.5, 0.5]
    each = {ONE: (slow, 5), OWN: (quick, 6)}
    each |= {f"{ONE} + KnOTS": (quick, 7), f"{OWN} + KnOTS": (slow, 6)}
    table = trained(**each)
    speed = price.convergence(table).set_index("network")
    assert speed.left[ONE].value == pytest.approx(-60)
    assert speed.left[OWN].value == pytest.approx(60)
    assert speed.area[ONE].value == pytest.approx(-0.15)
    found = price.knots_leads(table).set_index("network").value
    assert found[ONE] == pytest.approx(20) and found[OWN] == pytest.approx(0)


def test_trainings_stand_beside_rules_and_experts(pictures, tmp_path):
    store = Store(tmp_path, "full")
    page = SimpleNamespace(device="cpu", table=store.table)
    named = price.trainings_on_two(" ".join(pictures.tasks), samples=4, steps=3)
    assert [t.vectors for t in named.values()] == ["whole", "whole", "knots", "knots", "whole"]
    rows = Trials(page, pictures, price.PRICE).trained(named, 2)
    every = price.beside_rules(page, pictures, rows, "", ("Average", "TIES"))
    out = price.summary(every, [ONE])
    assert list(out.index) == ["experts", "Average", "TIES", *named]
    assert out.loc[ONE, f"{ONE} leads by"] == "" and "[" in out.loc["TIES", f"{ONE} leads by"]
    alone = price.beside_rules(page, pictures, rows, "birds", ("Average",))[:2]
    assert [len(right) for right in alone.right] == [1, 1]


def test_seconds_of_everything(pictures):
    found = price.seconds_here(pictures, samples=4)
    assert (found.seconds > 0).all() and len(found) == 6
