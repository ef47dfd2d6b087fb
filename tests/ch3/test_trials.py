"""Trials, what learners read and teachers answer, rules without training, and comparisons."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from tables import packed

from mergebook import studies
from mergebook.ch3 import baselines, comparing, reading, teaching, trials
from mergebook.ch3.comparing import Trials, lead, leads, right_of, scores, stepped
from mergebook.ch3.trials import ADAMERGING, FREE, OWN, SHARED, Trial, learn
from mergebook.experiments import Store
from mergebook.intervals import of_runs
from mergebook.page import OpenSuite
from mergehelpers import distil, evaluate, merge, states, stats, suites

SHORT = replace(SHARED, steps=5, count=4, batch=2, test_samples=10)


@pytest.fixture(scope="module")
def four(tmp_path_factory):
    folder = tmp_path_factory.mktemp("four")
    counts = {"train": 6, "val": 6, "unlabelled": 5, "test": 10}
    tiny.folder_of_tasks(folder, ["a", "b", "c", "d"], ["x", "y", "z"], counts)
    return OpenSuite(suites.load_suite(str(folder)), "cpu", str(folder))


def page_of(r):
    store = Store("none")
    return SimpleNamespace(device="cpu", table=store.table, store=store)


def answers(right, n=100, runs=1):
    return [[packed(right, n)] for _ in range(runs)]


# -------------------------------------------------------------------------------------- teaching


def test_a_teacher_lies_between_the_base_and_its_expert(four):
    base, expert = four.base, four.experts["a"]
    tiny.same(teaching.teacher_of(four, "a", 1.0), expert)
    tiny.same(teaching.teacher_of(four, "a", 0.0), base)
    middle = {n: (base[n] + expert[n]) / 2 for n in base}
    tiny.same(teaching.teacher_of(four, "a", 0.5), middle)


def test_what_a_teacher_answers_is_its_own_logits(four):
    inputs = four.suite.task("b").inputs["val"]
    embedded = four.backbone.embed(four.experts["b"], inputs)
    own = four.suite.logits("b", embedded, four.experts["b"])
    torch.testing.assert_close(teaching.taught(four, "b", "val"), own)
    weak = teaching.taught(four, "b", "val", 0.5)
    assert (weak - own).abs().max() > 1e-3


def test_the_share_that_is_said_is_misled_and_never_by_the_same_class():
    g = torch.Generator().manual_seed(0)
    truth = torch.arange(20_000) % 5
    wrong = teaching.misled(truth, 5, 0.3, g)
    assert (wrong != truth).float().mean().item() == pytest.approx(0.3, abs=0.02)
    assert set(wrong.tolist()) == set(range(5))
    assert not (teaching.misled(truth, 5, 1.0, g) == truth).any()
    assert torch.equal(teaching.misled(truth, 5, 0.0, g), truth)
    # Each other class is as likely.
    counts = torch.bincount(wrong[(truth == 2) & (wrong != truth)], minlength=5)
    assert counts[2] == 0 and counts[[0, 1, 3, 4]].min() > 0.2 * counts.sum()


def test_the_pool_is_the_unlabelled_and_the_training_inputs(four):
    inputs, labels = teaching.lesson(four, "a", "pool")
    x, y = four.suite.task("a").inputs, four.suite.task("a").labels
    assert np.array_equal(inputs, np.concatenate([x["unlabelled"], x["train"]]))
    assert torch.equal(labels, torch.cat([y["unlabelled"], y["train"]])) and len(labels) == 11


def test_halves_and_thirds_are_parts_of_a_split(four):
    x = four.suite.task("c").inputs["test"]
    first, second = (teaching.lesson(four, "c", f"test, {h}") for h in teaching.HALVES)
    assert np.array_equal(np.concatenate([first[0], second[0]]), x) and len(first[1]) == 5
    truth = four.suite.task("c").labels["test"]
    assert torch.equal(torch.cat([first[1], second[1]]), truth)
    p = teaching.taught(four, "c", "test").double().softmax(1).numpy()
    entropy = {image.tobytes(): -(q * np.log(q)).sum() for image, q in zip(x, p)}
    thirds = [teaching.lesson(four, "c", f"test, {t}")[0] for t in teaching.THIRDS]
    found = [[entropy[image.tobytes()] for image in part] for part in thirds]
    assert max(found[0]) < min(found[1]) and max(found[1]) < min(found[2])
    assert sorted(map(len, found)) == [2, 4, 4]
    with pytest.raises(ValueError, match="part of test is 'fourth'; allowed: first half"):
        teaching.lesson(four, "c", "test, fourth")


def test_uncertainty_is_the_entropy_of_the_answer():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [100.0, 0.0, 0.0, 0.0]])
    assert teaching.uncertainty(logits).tolist() == pytest.approx([np.log(4), 0.0], abs=1e-6)


def test_misled_lessons_mislead_the_teacher_and_the_labels(four):
    inputs, teacher, labels = trials.lessons_of(four, replace(SHORT, wrong=1.0, count=11))
    for n in four.tasks:
        x, truth = teaching.lesson(four, n, "pool")
        own = teaching.taught(four, n, "pool").argmax(1)
        places = {image.tobytes(): i for i, image in enumerate(x)}
        at = [places[image.tobytes()] for image in inputs[n]]
        assert sorted(at) == list(range(11)) and at != sorted(at)
        assert not (teacher[n].argmax(1) == own[at]).any()
        assert not (labels[n] == truth[at]).any()
        assert (teacher[n].sum(1) == 1).all()
    right, _, _ = trials.lessons_of(four, replace(SHORT, count=11))
    for n in four.tasks:
        assert np.array_equal(inputs[n], right[n])  # errors draw nothing from what draws inputs


# --------------------------------------------------------------------------------------- reading


def statistics_by_hand(r, models):
    layers = [n for n, _ in r.backbone.module.named_parameters()]
    rows = []
    for m in models:
        rows.append([])
        for n in (n for n in m if n in layers):
            w = m[n].double().numpy()
            flat = w.reshape(1, -1) if w.ndim < 2 else w.reshape(len(w), -1)
            top = np.zeros(3)
            values = np.linalg.svd(flat, compute_uv=False)[:3]
            top[: len(values)] = values
            rows[-1].append([w.mean(), w.var(), np.linalg.norm(w), *top])
    return np.array(rows)


def standardised(x, axes=(0, 1)):
    spread = x.std(axes, keepdims=True)
    tiny_ = spread <= 1e-12 * np.abs(x).max(axes, keepdims=True)
    return np.where(tiny_, 0, (x - x.mean(axes, keepdims=True)) / np.where(tiny_, 1, spread))


def test_a_learner_reads_standardised_statistics(four):
    weights = statistics_by_hand(four, four.experts.values())
    changed = [states.task_vector(four.base, e) for e in four.experts.values()]
    changes = statistics_by_hand(four, changed)
    mixed = np.concatenate([weights[..., :3], changes[..., 3:]], -1)
    expected = {
        "statistics": standardised(weights),
        "changes": standardised(changes),
        "statistics, within layers": standardised(weights, (0,)),
        "mean+singular": standardised(weights[..., [0, 3, 4, 5]]),
        "statistics, singular values of changes": standardised(mixed),
    }
    for reads, x in expected.items():
        found = reading.read(four, reads, "layers", 3, 0).numpy()
        np.testing.assert_allclose(found, x, atol=2e-4, err_msg=reads)
    both = reading.read(four, "statistics, both scales", "layers", 3, 0)
    assert both.shape[-1] == 12
    torch.testing.assert_close(both[..., :6], reading.read(four, "statistics", "layers", 3, 0))


def test_spoilt_statistics_are_the_same_numbers_elsewhere(four):
    x = reading.statistics_of(four, "weights", "layers")[..., :6]
    g = torch.Generator().manual_seed(0)
    n, m, _ = x.shape
    for change in ("shuffled", "experts shuffled", "singular values shuffled"):
        y = reading.dealt_out(x, change, g)
        assert not torch.equal(x, y)
        assert torch.equal(x.flatten(0, 1).sort(0).values, y.flatten(0, 1).sort(0).values)
        if change == "experts shuffled":
            assert torch.equal(x.sort(0).values, y.sort(0).values)
        if change == "singular values shuffled":
            assert torch.equal(x[..., :3], y[..., :3])
    rows = {tuple(row) for row in x.flatten(0, 1).tolist()}
    assert {tuple(r) for r in reading.dealt_out(x, "shuffled", g).flatten(0, 1).tolist()} == rows


def test_names_noise_and_constants_say_nothing_of_the_weights(four):
    names = reading.read(four, "names", "layers", 3, 0)
    n, m = names.shape[:2]
    assert names.shape[-1] == n + m and (names.sum(-1) == 2).all()
    assert len({tuple(row) for row in names.flatten(0, 1).tolist()}) == n * m
    one, other = (reading.read(four, "noise", "layers", 3, seed) for seed in (0, 1))
    assert one.shape == (n, m, 6) and not torch.equal(one, other)
    assert (reading.read(four, "constant", "layers", 3, 0) == 1).all()
    beside = reading.read(four, "statistics, and noise 2", "layers", 3, 0)
    assert torch.equal(beside[..., 6:], one[..., :2])


def test_by_tasks_a_learner_reads_whole_models(four):
    x = reading.statistics_of(four, "weights", "tasks")
    assert x.shape[:2] == (4, 1)
    w = reading.learnable(four, four.experts["a"])
    flat = torch.cat([v.flatten().double() for v in w.values()])
    expected = [flat.mean(), flat.var(correction=0), flat.norm()]
    assert x[0, 0, :3].tolist() == pytest.approx([float(v) for v in expected])


# ---------------------------------------------------------------------------------- task vectors


def test_kinds_of_task_vectors(four):
    experts = list(four.experts.values())
    whole = trials.stacked(four, four.tasks)
    for n, stack in whole.items():
        torch.testing.assert_close(stack, torch.stack([e[n] - four.base[n] for e in experts]))
    lines, depth = trials.stacked(four, four.tasks, "lines"), states.depths(four.base)
    for n, stack in lines.items():
        torch.testing.assert_close(stack, whole[n] * (0.5 + depth[n]))
    with pytest.raises(ValueError, match="vectors are 'halved'; allowed: whole, lines, knots"):
        trials.stacked(four, four.tasks, "halved")


def elected_by_hand(flat, keep=0.2):
    """Rows trimmed to their largest entries; of each column, those of the sign that wins."""
    out = np.zeros_like(flat)
    for row, into in zip(flat, out):
        largest = np.argsort(-np.abs(row), kind="stable")[: round(keep * len(row))]
        into[largest] = row[largest]
    sign = np.sign(out.sum(0))
    return np.where(np.sign(out) == sign, out, 0)


def test_trimmed_vectors_are_trimmed_whole_and_elected(four):
    whole = trials.stacked(four, four.tasks)
    flat = torch.cat([s.flatten(1) for s in whole.values()], 1).numpy()
    expected = elected_by_hand(flat)
    trimmed = trials.stacked(four, four.tasks, "trimmed")
    found = torch.cat([s.flatten(1) for s in trimmed.values()], 1).numpy()
    assert (found != expected).mean() < 1e-3 and (found == 0).mean() > 0.75


def test_a_matrix_is_trimmed_in_the_basis_that_its_experts_share():
    g = torch.Generator().manual_seed(1)
    stack = torch.randn(3, 6, 4, generator=g, dtype=torch.float64)
    wide = np.concatenate(list(stack.numpy()), axis=1)
    u, s, vt = np.linalg.svd(wide, full_matrices=False)
    parts = (s[:, None] * vt).reshape(len(s), 3, 4).transpose(1, 0, 2)
    kept = elected_by_hand(parts.reshape(3, -1)).reshape(parts.shape)
    expected = np.stack([u @ part for part in kept])
    np.testing.assert_allclose(trials.trimmed_in_shared_basis(stack), expected, atol=1e-9)
    vector = torch.randn(3, 10, generator=g)
    np.testing.assert_allclose(
        trials.trimmed_in_shared_basis(vector), elected_by_hand(vector.numpy())
    )


# ---------------------------------------------------------------------------------------- trials


def coefficients_by_hand(r, learner, t):
    """The training of a trial with nothing of `trials`."""
    g, inputs, teacher = torch.Generator().manual_seed(2000 + t.seed), {}, {}
    for n in r.tasks:
        task = r.suite.task(n)
        every = np.concatenate([task.inputs["unlabelled"], task.inputs["train"]])
        inputs[n] = every[torch.randperm(len(every), generator=g)[: t.count].numpy()]
        teacher[n] = r.head_logits(n, r.backbone.embed(r.experts[n], inputs[n]), r.experts[n])
    plan = distil.Training(t.loss, t.steps, t.batch, t.rate, t.drop, t.temperature)
    return distil.train(r.suite, learner, inputs, teacher, plan, seed=t.seed, progress=False)


@pytest.mark.parametrize("level", ["layers", "tasks"])
@pytest.mark.parametrize(
    "method", [SHARED, OWN, FREE, ADAMERGING], ids="shared own free ada".split()
)
def test_a_trial_is_this_training(four, method, level):
    t = replace(SHORT, learner=method.learner, reads=method.reads, loss=method.loss, level=level)
    x = reading.read(four, t.reads, level, t.rank, t.seed)
    learner = (
        stats.Free(4, x.shape[1], "free")
        if t.learner == "free"
        else stats.Learner(x, "mlp2", 64, "free", shared=method is SHARED, seed=t.seed)
    )
    expected = coefficients_by_hand(four, learner, t)
    found = learn(four, t)
    torch.testing.assert_close(found.coefficients, expected.coefficients)
    assert found.trained.losses == pytest.approx(expected.losses)
    layers = 1 if level == "tasks" else len(trials.stacked(four, four.tasks))
    assert found.coefficients.shape == (4, layers)
    assert (found.coefficients - 0.3).abs().max() > 1e-3


def test_a_merge_of_coefficients_by_tasks_is_task_arithmetic(four):
    t, c = replace(SHORT, level="tasks"), torch.tensor([[0.1], [0.2], [0.3], [0.4]])
    expected = {
        n: four.base[n]
        + sum(k * (e[n] - four.base[n]) for k, e in zip(c[:, 0], four.experts.values()))
        for n in four.base
    }
    tiny.same(trials.combined(four, t, c), expected)


def test_a_trial_of_some_tasks_merges_their_experts_alone(four):
    t = replace(SHORT, tasks="d b")
    found = learn(four, t)
    assert found.tasks == ("d", "b") and found.coefficients.shape[0] == 2
    state = trials.combined(four, t, torch.tensor([[1.0], [0.0]]))
    tiny.same(state, four.experts["d"])


def test_heads_only_leaves_the_coefficients_and_moves_the_heads(four):
    start = learn(four, replace(SHORT, heads="only", steps=1)).coefficients
    found = learn(four, replace(SHORT, heads="only"))
    assert torch.equal(found.coefficients, start) and (start == 0.3).all()
    head = found.trained.suite.task("a").head["weight"]
    assert not torch.equal(head, four.suite.task("a").head["weight"])


def test_agreement_is_with_the_teachers_and_not_with_labels(four):
    assert trials.agreement_with_teachers(four, four.experts["a"], ["a"], 6) == 100
    found = trials.agreement_with_teachers(four, four.base, four.tasks, 4)
    shares = []
    for n in four.tasks:
        x = four.suite.task(n).inputs["val"][:4]
        a, b = (
            four.head_logits(n, four.backbone.embed(s, x), s).argmax(1)
            for s in (four.base, four.experts[n])
        )
        shares.append((a == b).float().mean().item())
    assert found == pytest.approx(100 * np.mean(shares))


def test_the_row_of_a_trial(four):
    key = replace(SHORT, models=four.mark)
    row = trials.trial_row(key, {four.mark: four.source}, "cpu", coefficients=True)
    found = learn(four, key)
    state = trials.combined(four, key, found.coefficients)
    right = four.answers(state, limit=10)
    assert row["right"] == list(studies.pack_answers(right).values())
    assert row["val"] == pytest.approx(evaluate.percent([four.answers(state, "val")]))
    assert row["agree"] == pytest.approx(
        trials.agreement_with_teachers(four, state, four.tasks, 10)
    )
    assert row["losses"] == pytest.approx(found.trained.losses, abs=1e-5)
    np.testing.assert_allclose(row["coefficients"], found.coefficients, atol=1e-4)


# ------------------------------------------------------------------------------------- baselines


def test_a_rule_takes_the_setting_that_agrees_most(four):
    key = baselines.Baseline(four.mark, "Task arithmetic", samples=4, test_samples=6)
    setting, state = baselines.baseline_of(four, key)
    agree = {
        s: trials.agreement_with_teachers(
            four, merge.task_arithmetic(four.base, list(four.experts.values()), s), four.tasks, 6
        )
        for s in baselines.SCALES
    }
    assert agree[setting[0]] == max(agree.values()) > min(agree.values())
    tiny.same(state, merge.task_arithmetic(four.base, list(four.experts.values()), setting[0]))


def test_every_rule_merges_and_an_unknown_one_is_named(four):
    for rule in baselines.UNTRAINED_RULES:
        key = baselines.Baseline(four.mark, rule, "a c", samples=4, test_samples=6)
        row = baselines.baseline_row(key, {four.mark: four.source}, "cpu")
        settings = baselines.made_by(four, key, ["a", "c"])
        assert tuple(row["setting"]) in settings and len(settings) in (1, 6)
        assert len(row["right"]) == len(row["unseen"]) == 2
    with pytest.raises(ValueError, match="rule is 'Median'; allowed: Base, Average"):
        baselines.made_by(four, replace(key, rule="Median"), ["a", "c"])


def test_the_answers_to_tasks_that_are_left_out(four):
    row = baselines.baseline_row(
        baselines.Baseline(four.mark, "Average", "a c", test_samples=10),
        {four.mark: four.source},
        "cpu",
    )
    state = {n: (four.experts["a"][n] + four.experts["c"][n]) / 2 for n in four.base}
    for field, tasks in (("right", ["a", "c"]), ("unseen", ["b", "d"])):
        assert row[field] == list(
            studies.pack_answers(four.answers(state, "test", tasks, 10)).values()
        )


def test_alone_each_task_has_its_own_model(four):
    row = baselines.alone_row(
        baselines.Alone(four.mark, "Individual", 10), {four.mark: four.source}, "cpu"
    )
    for n, text in zip(four.tasks, row["right"]):
        own = four.answers(four.experts[n], "test", [n], 10)[n]
        assert np.array_equal(studies.unpack_answers({"": text})[""], own)
    emr = baselines.alone_row(
        baselines.Alone(four.mark, "EMR", 10), {four.mark: four.source}, "cpu"
    )
    assert emr != row


# ------------------------------------------------------------------------------------- comparing


def test_step_sizes_of_the_series():
    up = [0.001]
    while len(up) < 6:
        up.append(stepped(up[-1], True))
    assert up == [0.001, 0.003, 0.01, 0.03, 0.1, 0.3]
    assert [stepped(v, False) for v in up[1:]] == up[:-1]


class MadeUp(Trials):
    """Trials whose agreement is a function of the trial; what was asked for is kept."""

    def __init__(self, agree, **settings):
        super().__init__(SimpleNamespace(device="cpu"), SimpleNamespace(name="x"), None, **settings)
        self.agree, self.asked = agree, []

    def rows(self, trials):
        self.asked += trials
        return pd.DataFrame(
            [{"rate": t.rate, "seed": t.seed, "agree": self.agree(t)} for t in trials]
        )


def best_at(rate):
    return lambda t: 90 - abs(np.log10(t.rate / rate))


@pytest.mark.parametrize(
    ("peak", "found", "tried"),
    [
        (0.01, 0.01, {0.003, 0.01, 0.03}),
        (0.03, 0.03, {0.003, 0.01, 0.03, 0.1}),
        (0.001, 0.001, {0.0003, 0.001, 0.003, 0.01, 0.03}),
        (9.0, 0.3, {0.003, 0.01, 0.03, 0.1, 0.3}),
        (1e-9, 0.0003, {0.0003, 0.001, 0.003, 0.01, 0.03}),
    ],
)
def test_a_search_goes_outward_and_stops(peak, found, tried):
    bench = MadeUp(best_at(peak))
    best = bench.searched({"a": SHARED})
    assert best == {"a": replace(SHARED, rate=found)}
    assert {t.rate for t in bench.asked} == tried and {t.seed for t in bench.asked} == {0, 1}


def test_of_equal_step_sizes_the_smallest_is_taken_and_the_mean_of_seeds_decides():
    assert MadeUp(lambda t: 80.0).searched({"a": FREE})["a"].rate == comparing.FINEST
    # At 0.01 one seed is the best of all, and the mean is not.
    table = {(0.003, 0): 80, (0.003, 1): 80, (0.01, 0): 99, (0.01, 1): 50}
    bench = MadeUp(lambda t: table.get((t.rate, t.seed), 10), rates=(0.003, 0.01))
    assert bench.searched({"a": FREE})["a"].rate == 0.003


def test_each_method_has_its_own_search():
    peaks = {"mlp2": 0.01, "free": 0.03}
    best = MadeUp(lambda t: best_at(peaks[t.learner])(t)).searched({"a": SHARED, "b": FREE})
    assert (best["a"].rate, best["b"].rate) == (0.01, 0.03)


def test_a_network_a_layer_for_some_tasks_begins_its_search_lower():
    def agree(t):
        return {0.001: 88.0, 0.003: 86.0, 0.01: 85.0, 0.03: 87.0}.get(t.rate, 10.0)

    few = replace(OWN, tasks="ants bees")
    best = MadeUp(agree).searched({"few": few, "all": OWN, "shared": replace(SHARED, tasks="ants")})
    assert [best[n].rate for n in ("few", "all", "shared")] == [0.001, 0.03, 0.03]
    bench = MadeUp(agree, rates=(0.001, comparing.FINEST))
    assert bench.first_rates(few) == [comparing.FINEST, 0.001]


def test_a_step_size_that_fails_with_one_repetition_is_left():
    def agree(t):
        return 10.0 if t.rate == 0.01 and t.seed == 4 else best_at(0.01)(t)

    table = MadeUp(agree).repeated({"a": SHARED}, 5)
    assert set(table.rate) == {0.003} and list(table.seed) == [0, 1, 2, 3, 4]
    assert set(MadeUp(agree).repeated({"a": SHARED}, 4).rate) == {0.01}
    # Where each fails with one of them, the smallest is taken.
    table = MadeUp(lambda t: 10.0 if t.seed == 4 else best_at(0.01)(t)).repeated({"a": SHARED}, 5)
    assert set(table.rate) == {comparing.FINEST}


def test_changes_come_after_the_search():
    bench = MadeUp(best_at(0.01))
    bench.repeated({"a": SHARED}, 3, count=7)
    assert [t.count for t in bench.asked] == [64] * 6 + [7] * 3
    assert [t.rate for t in bench.asked[-3:]] == [0.01] * 3


def test_two_names_of_one_trial_are_one_row_shown_twice(four):
    page = page_of(four)
    bench = Trials(page, four, trials.experiment("made up"))
    t = replace(SHORT, steps=2)
    table = bench.trained({"a": t, "b": t, "c": replace(t, rate=0.3)}, 2)
    assert page.store.computed == 4 and list(table.what) == list("aabbcc")
    first, second = (table[table.what == n].drop(columns="what") for n in "ab")
    pd.testing.assert_frame_equal(first.reset_index(drop=True), second.reset_index(drop=True))
    assert list(table.seed) == [0, 1] * 3 and set(table.suite) == {four.name}
    assert set(table[table.what == "c"].rate) == {0.3}


def made_table(**right):
    """Two repetitions of each method, on two tasks of 100 inputs."""
    rows = [
        {"what": n, "right": [packed(a, 100), packed(b, 100)], "rate": 0.01}
        for n, counts in right.items()
        for a, b in counts
    ]
    return pd.DataFrame(rows)


TABLE = made_table(a=[(80, 60), (82, 64)], b=[(70, 60), (74, 62)], c=[(75, 55), (75, 57)])


def test_a_lead_is_the_mean_gain_of_paired_repetitions():
    gap = lead(TABLE, "a", "b")
    assert gap.value == pytest.approx(((10 + 0) / 2 + (8 + 2) / 2) / 2)
    rows = right_of(TABLE, "a"), right_of(TABLE, "b")
    assert gap == of_runs(*rows) and rows[0][0].shape == (2, 100)
    other = made_table(b=[(60, 60)])
    assert lead(TABLE, "a", "b", other=other).value == pytest.approx((10 + 13) / 2)
    with pytest.raises(ValueError, match="no rows of 'z'; there are a, b, c"):
        lead(TABLE, "a", "z")


def test_leads_are_the_lead_over_each():
    table = leads(TABLE, "a", ["b", "c"]).set_index("over")
    for name in ("b", "c"):
        row = table.loc[name]
        assert (row.value, row.low, row.high) == lead(TABLE, "a", name)
        assert (row.value, row.all_low, row.all_high) == lead(TABLE, "a", name, 2)
        assert row.all_low < row.low < row.high < row.all_high


def test_scores_are_means_over_tasks_and_repetitions():
    table = scores(TABLE).set_index("what")
    assert table.accuracy["a"] == pytest.approx((70 + 73) / 2)
    assert table.spread["a"] == pytest.approx(3 / np.sqrt(2))
    assert table["step size"]["b"] == 0.01 and table.repetitions["c"] == 2


def test_a_trial_with_other_settings_has_another_key():
    name = trials.experiment("made up").label
    assert name(Trial()) != name(Trial(width=32))
