"""Page 02g: the harm of averaged nodes and the distance to the ensemble, against loops."""

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

from mergebook.ch2 import conflicts, models
from mergebook.ch2.models import Merge
from mergebook.page import OpenSuite
from mergehelpers import merge, mloss, states


def divergence(one, other):
    p, q = (x.double().softmax(-1) for x in (one, other))
    return (p * (p / q).log()).sum(-1)


# ------------------------------------------------------------------------------------------ nodes


def test_nodes_are_drawn_once_in_every_layer(pictures):
    keys = conflicts.nodes_of(pictures, 5, 3, 0)
    sites = pictures.backbone.sites()
    assert [sum(k.site == site for k in keys) for site in sites] == [5] * len(sites)
    assert len(set(keys)) == len(keys)
    assert conflicts.nodes_of(pictures, 5, 3, 0) == keys != conflicts.nodes_of(pictures, 5, 3, 1)


def test_the_harm_of_a_node_by_hand(pictures):
    site, node = pictures.backbone.sites()[-1], 7
    name, found = pictures.backbone.weight_name(site), []
    mean = merge.average(list(pictures.experts.values()))[name][node]
    for task, expert in pictures.experts.items():
        state = {n: v.clone() for n, v in expert.items()}
        state[name][node] = mean
        inputs = pictures.unlabelled(3, [task])
        before, after = (
            pictures.suite.logits(task, pictures.backbone.embed(s, inputs), s)
            for s in (expert, state)
        )
        found.append(divergence(before, after).mean().item())
        assert not torch.equal(expert[name][node], mean)
    assert min(found) > 0
    assert conflicts.harm(pictures, site, node, 3) == pytest.approx(np.mean(found), rel=1e-3)


def test_what_could_tell_a_node_beforehand(pictures):
    key = conflicts.Node(pictures.mark, pictures.backbone.sites()[0], 3, 3)
    row = conflicts.measured(key, {pictures.mark: pictures.source}, "cpu")
    assert row.keys() == conflicts.NODES.tolerance.keys()
    name = pictures.backbone.weight_name(key.site)
    change = [(e[name] - pictures.base[name])[3] for e in pictures.experts.values()]
    length = np.mean([c.norm().item() for c in change])
    assert row["length of the change"] == pytest.approx(length, rel=1e-5)
    differ = [float(a.sign() != b.sign()) for a, b in zip(*change)]
    assert row["sign conflict"] == pytest.approx(np.mean(differ), abs=1e-6)
    inputs = pictures.backbone.prepare(pictures.unlabelled(3))
    _, h = pictures.backbone.preactivations(pictures.base, inputs, [key.site])[0]
    x = mloss.activation(pictures.backbone.activation_at(key.site))(h)[..., 3].double()
    assert row["activation variance"] == pytest.approx(x.var(correction=0).item(), rel=1e-4)
    scores = {how: models.scored(pictures, how, 3, 0)[key.site][3] for how in conflicts.LOSSES}
    assert [row[how] for how in conflicts.LOSSES] == pytest.approx(
        [float(v) for v in scores.values()], rel=1e-5
    )


def measured(count=30):
    rng, parts = np.random.default_rng(1), []
    for suite in "ab":
        for site in "xy":
            columns = (*conflicts.LOSSES, *conflicts.FREE, conflicts.SIGNS, "harm")
            part = {name: rng.normal(size=count) for name in columns}
            part["own input"] = part["harm"] ** 3
            part["normalised"] = -part["harm"]
            # Another layer has other sizes: ranks over both would say otherwise.
            part["harm"] = part["harm"] + 100 * (site == "x")
            parts.append(pd.DataFrame(part | {"suite": suite, "site": site, "node": range(count)}))
    return pd.concat(parts, ignore_index=True)


def test_correlations_are_within_layers():
    table = measured()
    found = conflicts.correlations(table, resamples=50)
    for suite, part in table.groupby("suite"):
        by_hand = [
            stats.spearmanr(layer["shared input"], layer.harm).statistic
            for _, layer in part.groupby("site")
        ]
        assert found[suite]["shared input"][0] == pytest.approx(np.mean(by_hand))
        assert found[suite]["own input"] == pytest.approx(1)
        assert found[suite]["normalised"] == pytest.approx(-1)
        assert len(found[suite]["released"]) == 51
    shown = conflicts.shown_correlations(table)
    assert shown.loc["own input", "a"] == "1.00 [1.00, 1.00]"


def test_the_interval_of_a_correlation_covers():
    """Of 40 tables without a relation, the 95 % interval holds zero in most."""
    rng, held = np.random.default_rng(0), 0
    for _ in range(40):
        part = {name: rng.normal(size=30) for name in ("harm", *conflicts.LOSSES)}
        part |= dict.fromkeys((*conflicts.FREE, conflicts.SIGNS), part["harm"])
        table = pd.DataFrame(part | {"suite": "a", "site": "x", "node": range(30)})
        span = conflicts.spanned(conflicts.correlations(table, resamples=200)["a"]["released"])
        held += span.low <= 0 <= span.high
    assert 34 <= held <= 40


# ---------------------------------------------------------------------------------- the ensemble


def test_distances_to_the_ensemble_by_hand(pictures):
    key = Merge(pictures.mark, "TIES", "", 0.6, inputs=12)
    row = conflicts.aligned(key, {pictures.mark: pictures.source}, "cpu")
    state = models.model_of(pictures, key)
    for i, task in enumerate(pictures.tasks):
        seen = [pictures.embeddings(e, task, limit=12) for e in pictures.experts.values()]
        mine, mean = pictures.embeddings(state, task, limit=12), torch.stack(seen).mean(0)
        logits = torch.stack([pictures.head_logits(task, x, state) for x in seen]).mean(0)
        own = pictures.head_logits(task, mine, state)
        by_hand = {
            "KL, features": divergence(pictures.head_logits(task, mean, state), own),
            "KL, logits": divergence(logits, own),
            "1 - cosine": 1 - torch.cosine_similarity(mean, mine, dim=-1),
        }
        for measure, values in by_hand.items():
            groups = [g.double().mean().item() for g in values.tensor_split(conflicts.GROUPS)]
            assert row[measure][i] == pytest.approx(groups, rel=1e-3, abs=1e-6), measure
    assert row["imprint"] == models.imprint(pictures.base, state)


def test_a_lone_expert_is_its_own_ensemble(pictures):
    """The merge that is the ensemble has no distance to it."""
    same = OpenSuite(pictures.suite, "cpu", pictures.source)
    same.experts = dict.fromkeys(pictures.experts, pictures.experts["pets"])
    joint = conflicts.ensemble(same, 10)
    for task, (features, logits) in joint.items():
        alone = same.embeddings(same.experts["pets"], task, limit=10)
        torch.testing.assert_close(features, alone)
        torch.testing.assert_close(logits, same.head_logits(task, alone, same.base))


def rows(**at):
    """Distances 1 in every group of two tasks, or what `at` says by method, order and draw."""
    table = []
    names = [*conflicts.RIVALS.values()]
    for method, order in conflicts.MINE.values():
        names += [(method, o) for o in (order, "even", "random", "random")]
    for place, (method, order) in enumerate(names):
        draw = int(order == "random" and names[place - 1][1] == "random")
        value = at.get(f"{method}, {order}, {draw}".replace(", , 0", ""), 1.0)
        groups = [[value] * conflicts.GROUPS] * 2
        table.append(("s", method, order, draw, 1.0, *([groups] * 3)))
    # TIES as long as M-TIES is at a distance of 4.
    table.append(("s", "TIES", "", 0, 0.5, *([[[4.0] * conflicts.GROUPS] * 2] * 3)))
    names = ["suite", "method", "order", "draw", "scale", *conflicts.MEASURES]
    return pd.DataFrame(table, columns=names)


LONG = {"s": dict.fromkeys(conflicts.MINE, Merge("s", "TIES", scale=0.5))}


def test_how_much_closer_by_hand():
    table = rows(**{"TIES": 2.0, "rows, even, 0": 1.25, "line 22, random, 1": 3.0})
    found = conflicts.closer(table, LONG).set_index(["reading", "measure", "rival"]).sort_index()
    for measure in conflicts.MEASURES:
        released, paper = (found.loc[reading, measure].value for reading in ("released", "paper"))
        assert released["TIES"] == pytest.approx(50) and released["even"] == pytest.approx(20)
        assert released["TIES as long"] == pytest.approx(75)
        assert released["TIES from even"] == pytest.approx(37.5)
        assert released["random"] == pytest.approx(0) and paper["random"] == pytest.approx(50)
        assert released["TIES by tensor"] == pytest.approx(0)
    assert (found.high - found.low).max() == pytest.approx(0)  # all groups agree
    means = conflicts.distances(table)
    assert means.loc["line 22, random", ("s", "1 - cosine")] == pytest.approx(2)
    assert means.loc["TIES", ("s", "KL, logits")] == pytest.approx(2)


def test_groups_are_resampled_within_their_task():
    """A task that is far from the ensemble as a whole does not widen the interval."""
    table = rows()
    mine = (table.method == "rows") & (table.order == "released")
    values = [[1.0] * 10, [9.0] * 10]
    table.loc[mine, "KL, logits"] = pd.Series([values] * mine.sum(), index=table.index[mine])
    table.loc[mine, "KL, features"] = pd.Series(
        [[[1.0, 9.0] * 5] * 2] * mine.sum(), index=table.index[mine]
    )
    found = conflicts.closer(table, LONG).set_index(["reading", "measure", "rival"]).loc["released"]
    calm, wide = found.loc["KL, logits", "even"], found.loc["KL, features", "even"]
    assert calm.value == wide.value == pytest.approx(-400)
    assert calm.high - calm.low == pytest.approx(0) and wide.high - wide.low > 200


def test_keys_of_what_is_compared(pictures):
    keys = conflicts.aligned_keys(pictures, 0.6, 0.4, 2, samples=3, inputs=12)
    assert len(set(keys)) == len(keys) == 4 + 2 * (2 + 2)
    made = [models.model_of(pictures, key) for key in keys]
    prints = {tuple(models.imprint(pictures.base, state)) for state in made}
    assert len(prints) == len(keys)


def test_ties_is_as_long_as_each_reading(pictures):
    found = conflicts.as_long(pictures, 0.6, 0.4, samples=3, inputs=12)
    for reading, key in found.items():
        mine = Merge(pictures.mark, *conflicts.MINE[reading], 0.6, 0.4, samples=3, inputs=12)
        one, other = (
            states.norm(states.task_vector(pictures.base, models.model_of(pictures, k)))
            for k in (key, mine)
        )
        assert key.method == "TIES" and one == pytest.approx(other, rel=1e-3)
