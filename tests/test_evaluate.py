"""Accuracy on a tiny suite, against counts and intervals worked out by hand."""

import math
from itertools import product
from statistics import NormalDist

import numpy as np
import pandas as pd
import pytest
import tiny
import torch
from open_clip.transformer import VisionTransformer
from scipy.stats import binomtest

from mergehelpers import checkpoints, evaluate, states, suites

Z = NormalDist().inv_cdf(0.975)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("suite")
    content = tiny.vit_suite(folder)
    heads = checkpoints.load(folder / "heads.safetensors")
    states.save(heads | {"far.weight": heads["pets.weight"].flip(0)}, folder / "heads.safetensors")
    far = {"data": "pets.npz", "classes": ["x", "y"]}
    return tiny.write_manifest(folder, content | {"out_of_domain": {"far": far}})


@pytest.fixture
def suite(folder):
    return suites.load_suite(str(folder))


@pytest.fixture
def models(suite):
    return {"base": suite.base, "birds": suite.experts["birds"], "other": tiny.vit(8)}


@torch.no_grad()
def hits(folder, state, task, split="test"):
    """For each input, whether the class that the library's network scores highest is the label."""
    model = VisionTransformer(**tiny.VIT).eval()
    model.load_state_dict(state)
    with np.load(folder / f"{'pets' if task == 'far' else task}.npz") as file:
        images, labels = file[f"{split}_inputs"], torch.from_numpy(file[f"{split}_labels"])
    mean, std = (
        torch.tensor(value).view(3, 1, 1)
        for value in ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))
    )
    embeddings = model((torch.from_numpy(images).permute(0, 3, 1, 2) / 255 - mean) / std)
    heads = checkpoints.load(folder / "heads.safetensors")
    unit = embeddings / embeddings.norm(dim=1, keepdim=True)
    scores = unit @ heads[f"{task}.weight"].T + heads.get(f"{task}.bias", 0)
    return scores.argmax(1) == labels


def wilson(correct, inputs):
    share, spread = correct / inputs, Z * Z / inputs
    middle = (share + spread / 2) / (1 + spread)
    reach = Z / (1 + spread) * math.sqrt(share * (1 - share) / inputs + spread / (4 * inputs))
    return 100 * (middle - reach), 100 * (middle + reach)


@pytest.mark.parametrize("split", ["test", "train", "unlabelled"])
def test_every_number_of_the_table(folder, suite, models, split):
    table = evaluate.accuracy(suite, models, split, device="cpu", progress=False)
    assert list(table.columns) == [
        "model",
        "task",
        "inputs",
        "correct",
        "accuracy",
        "low",
        "high",
        "normalised",
    ]
    assert list(zip(table.model, table.task)) == [
        (model, task) for model in models for task in ("pets", "birds")
    ]
    for row in table.itertuples():
        right = hits(folder, models[row.model], row.task, split)
        assert (row.correct, row.inputs) == (int(right.sum()), len(right))
        assert row.accuracy == pytest.approx(100 * row.correct / row.inputs)
        assert (row.low, row.high) == pytest.approx(wilson(row.correct, row.inputs), abs=1e-6)
        expert = int(hits(folder, suite.experts[row.task], row.task, split).sum())
        assert row.normalised == pytest.approx(
            100 * row.correct / expert if expert else math.nan, nan_ok=True
        )
    assert table.correct.nunique() > 1


def test_an_expert_that_gets_nothing_right_is_no_measure(suite, models):
    table = evaluate.accuracy(suite, models, tasks=["pets"], device="cpu", progress=False)
    assert table.normalised.notna().all()
    wrong = (
        torch.argmax(
            suite.logits(
                "pets",
                suite.backbone.embed(suite.experts["pets"], suite.task("pets").inputs["test"]),
            ),
            dim=1,
        )
        == 0
    )
    suite.task("pets").labels["test"] = wrong.long()
    table = evaluate.accuracy(
        suite, {"expert": suite.experts["pets"]}, tasks=["pets"], device="cpu", progress=False
    )
    assert (
        table.correct.tolist() == [0]
        and table.low.tolist() == [0]
        and table.normalised.isna().all()
    )


def test_an_expert_on_its_own_task_is_a_hundred_percent_of_itself(suite):
    table = evaluate.accuracy(suite, suite.experts, device="cpu", progress=False).set_index(
        ["model", "task"]
    )
    assert table.normalised["pets", "pets"] == table.normalised["birds", "birds"] == 100


def test_another_model_under_an_experts_name_is_measured_by_the_expert(folder, suite):
    table = evaluate.accuracy(
        suite, {"birds": suite.base}, tasks=["birds"], device="cpu", progress=False
    )
    base, expert = (
        int(hits(folder, state, "birds").sum()) for state in (suite.base, suite.experts["birds"])
    )
    assert base != expert
    assert table.normalised.item() == pytest.approx(100 * base / expert)


def test_a_task_out_of_domain_has_no_expert_to_measure_by(folder, suite, models):
    table = evaluate.accuracy(suite, models, tasks=["far", "pets"], device="cpu", progress=False)
    assert table.task.tolist() == ["far", "pets"] * 3
    far = table[table.task == "far"]
    assert far.normalised.isna().all() and table[table.task == "pets"].normalised.notna().all()
    assert far.correct.tolist() == [
        int(hits(folder, state, "far").sum()) for state in models.values()
    ]


@pytest.mark.parametrize("limit", [1, 7, 1000])
def test_a_limit_takes_the_first_inputs(folder, suite, models, limit):
    table = evaluate.accuracy(suite, models, limit=limit, device="cpu", progress=False)
    for row in table.itertuples():
        right = hits(folder, models[row.model], row.task)[:limit]
        expert = hits(folder, suite.experts[row.task], row.task)[:limit].sum().item()
        assert (row.correct, row.inputs) == (int(right.sum()), len(right))
        assert row.normalised == pytest.approx(
            100 * row.correct / expert if expert else math.nan, nan_ok=True
        )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"tasks": ["pets", "fish"]}, "task is 'fish'; allowed: pets, birds, far"),
        ({"split": "validation"}, "split is 'validation'; pets has train, val, test, unlabelled"),
        ({"limit": 0}, "limit is 0; allowed: a whole number, 1 or more"),
        ({"limit": -3}, "limit is -3; allowed: a whole number, 1 or more"),
    ],
    ids=str,
)
def test_unknown_tasks_splits_and_limits_are_refused(suite, models, options, message):
    with pytest.raises(ValueError, match=message):
        evaluate.accuracy(suite, models, device="cpu", progress=False, **options)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_model_of_no_numbers_is_refused_before_any_work(suite, models, monkeypatch, value):
    models["bad"] = suite.base | {"proj": torch.full((16, 6), value)}
    monkeypatch.setattr(suite.backbone, "encode", None)
    with pytest.raises(ValueError, match="the model bad holds NaN or infinity in proj"):
        evaluate.accuracy(suite, models, device="cpu", progress=False)


def test_results_do_not_depend_on_the_batch(suite, models):
    whole = evaluate.accuracy(suite, models, device="cpu", progress=False)
    for batch in (1, 5):
        suite.backbone.batch = batch
        pd.testing.assert_frame_equal(
            evaluate.accuracy(suite, models, device="cpu", progress=False), whole
        )


def test_the_models_are_left_as_they_were(suite, models):
    before = {
        name: {key: value.clone() for key, value in state.items()} for name, state in models.items()
    }
    evaluate.accuracy(suite, models, device="cpu", progress=False)
    for name, state in models.items():
        assert all(torch.equal(state[key], value) for key, value in before[name].items())


def full_beyond(suite, monkeypatch, most):
    """Memory that runs out with more than `most` inputs at once.

    Returns the list of batches that were tried.
    """
    tried, encode = [], suite.backbone.encode

    def limited(state, inputs):
        tried.append(len(inputs["pixels"]))
        if tried[-1] > most:
            raise torch.OutOfMemoryError("on purpose")
        return encode(state, inputs)

    monkeypatch.setattr(suite.backbone, "encode", limited)
    return tried


def test_the_batch_is_halved_until_it_fits(suite, monkeypatch):
    expected = evaluate.predictions(suite, suite.base, "pets")
    tried = full_beyond(suite, monkeypatch, most=3)
    assert torch.equal(evaluate.predictions(suite, suite.base, "pets", batch=12), expected)
    assert tried == [12, 6, 3, 3, 3, 3]


def test_memory_that_does_not_hold_one_input_is_an_error(suite, monkeypatch):
    tried = full_beyond(suite, monkeypatch, most=0)
    with pytest.raises(torch.OutOfMemoryError, match="on purpose"):
        evaluate.predictions(suite, suite.base, "pets", batch=5)
    assert tried == [5, 2, 1]


def test_predictions_are_the_highest_scores(folder, suite):
    for task in ("pets", "birds"):
        found = evaluate.predictions(suite, suite.base, task, "val", limit=4)
        assert found.shape == (4,) and found.dtype == torch.int64
        right = found == suite.task(task).labels["val"][:4]
        assert right.tolist() == hits(folder, suite.base, task, "val")[:4].tolist()


def test_a_model_that_scores_words_uses_its_own_output_layer(tmp_path):
    for name, seed in (("base", 0), ("expert", 1)):
        tiny.t5(tmp_path / name, seed=seed)
    (tmp_path / "moods.csv").write_text(
        "split,label,text\n"
        + "".join(
            f"test,{number % 2},{' '.join(tiny.WORDS[number : number + 3])}\n"
            for number in range(8)
        )
    )
    suite = suites.load_suite(
        str(
            tiny.write_manifest(
                tmp_path,
                {
                    "name": "own",
                    "base": "base",
                    "head": "words",
                    "backbone": {"kind": "t5", "model": "base"},
                    "tasks": {
                        "moods": {"expert": "expert", "data": "moods.csv", "classes": ["yes", "no"]}
                    },
                },
            )
        )
    )
    silenced = suite.base | {"lm_head.weight": suite.base["lm_head.weight"].clone()}
    rows = [len(tiny.SPECIAL) + tiny.WORDS.index(word) for word in ("yes", "no")]
    for first, second, expected in ((1.0, -1.0, 0), (-1.0, 1.0, 1)):
        embeddings = suite.backbone.embed(suite.base, suite.task("moods").inputs["test"])
        silenced["lm_head.weight"][rows] = torch.tensor([[first], [second]]) * embeddings.mean(0)
        found = suite.logits("moods", embeddings, silenced).argmax(1)
        assert torch.equal(evaluate.predictions(suite, silenced, "moods"), found)
        assert (found == expected).all()


def test_the_matrix_keeps_the_order_and_ends_with_the_mean():
    table = pd.DataFrame(
        {
            "model": ["z", "z", "a", "a"],
            "task": ["two", "one"] * 2,
            "accuracy": [1.0, 2.0, 3.0, 6.0],
            "normalised": [10.0, math.nan, 30.0, 50.0],
        }
    )
    wide = evaluate.matrix(table)
    assert list(wide.columns) == ["two", "one", "mean"] and list(wide.index) == ["z", "a"]
    assert wide.values.tolist() == [[1, 2, 1.5], [3, 6, 4.5]]
    assert evaluate.matrix(table, "normalised")["mean"].tolist() == [10, 40]


# Right answers, and two models compared by them


@pytest.mark.parametrize(
    "options", [{}, {"tasks": ["birds"]}, {"limit": 5}, {"split": "val", "limit": 1000}], ids=str
)
def test_right_answers_are_predictions_that_are_labels(folder, suite, models, options):
    split, limit = options.get("split", "test"), options.get("limit")
    table = evaluate.accuracy(suite, models, device="cpu", progress=False, **options)
    for name, state in models.items():
        found = evaluate.right(suite, state, device="cpu", **options)
        assert list(found) == options.get("tasks", ["pets", "birds"])
        for task, right in found.items():
            labels = suite.task(task).labels[split][:limit]
            assert right.dtype == torch.bool
            assert (
                right.tolist()
                == (evaluate.predictions(suite, state, task, split, limit) == labels).tolist()
            )
            assert right.tolist() == hits(folder, state, task, split)[:limit].tolist()
        rows = table[table.model == name]
        assert [int(right.sum()) for right in found.values()] == rows.correct.tolist()
        assert [len(right) for right in found.values()] == rows.inputs.tolist()


@pytest.mark.parametrize("limit", [0, -3])
def test_right_answers_of_no_inputs_are_refused(suite, monkeypatch, limit):
    monkeypatch.setattr(suite.backbone, "encode", None)
    with pytest.raises(ValueError, match=f"limit is {limit}; allowed: a whole number, 1 or more"):
        evaluate.right(suite, suite.base, limit=limit, device="cpu")


def coins(seed, **chances):
    """Right answers by chance.

    For every task, a number of inputs and the chance of a right answer are given.
    """
    g = torch.Generator().manual_seed(seed)
    return {
        task: torch.rand(inputs, generator=g) < chance for task, (inputs, chance) in chances.items()
    }


def test_the_difference_is_the_mean_over_tasks_of_their_differences():
    """Differences in points, by hand.

    Three of four against one is 50 points, one of two against two of two is -50, one of one against
    none 100.
    """
    a = {"x": [True, True, True, False], "y": [True, False], "z": [True]}
    b = {"x": [False, True, False, False], "y": [True, True], "z": [False]}
    a, b = ({task: torch.tensor(right) for task, right in model.items()} for model in (a, b))
    assert evaluate.compare(a, b)[0] == pytest.approx(100 / 3)
    assert evaluate.compare(b, a)[0] == pytest.approx(-100 / 3)


def test_equal_models_differ_by_no_more_than_their_inputs_can_miss():
    """Clopper and Pearson's bound for none of 100: two tasks, the smaller with 50 inputs."""
    a = coins(0, x=(50, 0.6), y=(80, 0.9))
    bound = 100 * binomtest(0, 100).proportion_ci(0.95, "exact").high
    assert evaluate.compare(a, a) == pytest.approx((0, -bound, bound))


def test_one_answer_that_differs_leaves_an_interval_no_narrower_than_none():
    """The luck of inputs that a bootstrap cannot see, since its resamples hold no others."""
    a = {"x": torch.ones(400, dtype=torch.bool)}
    b = {"x": a["x"] & (torch.arange(400) > 0)}
    value, low, high = evaluate.compare(a, b)
    least = evaluate.compare(a, a)[2]
    assert value == pytest.approx(0.25)
    assert low == pytest.approx(0.25 - least) and high >= 0.25 + least


@pytest.mark.parametrize("seed", range(4))
def test_the_interval_is_that_of_the_normal_approximation(seed):
    """For the mean over tasks of independent means, within a twentieth of its width."""
    a, b = coins(seed, x=(400, 0.8), y=(900, 0.6)), coins(seed + 10, x=(400, 0.7), y=(900, 0.6))
    gains = [100 * (a[task].double() - b[task].double()) for task in a]
    mean = sum(gain.mean() for gain in gains).item() / 2
    reach = Z * math.sqrt(sum(gain.var(correction=0).item() / len(gain) for gain in gains)) / 2
    point, low, high = evaluate.compare(a, b, seed)
    assert point == pytest.approx(mean) and low < point < high
    assert (low, high) == pytest.approx((mean - reach, mean + reach), abs=0.1 * reach)


def test_the_interval_is_that_of_all_resamples(gains=(1, 1, 1, -1, -1, -1)):
    """Of six inputs there are 6^6, and their quantiles lie far from a step."""
    expected = np.quantile(
        [100 / 6 * sum(drawn) for drawn in product(gains, repeat=6)], [0.025, 0.975]
    )
    a, b = ({"x": torch.tensor([sign * gain > 0 for gain in gains])} for sign in (1, -1))
    assert evaluate.compare(a, b, resamples=20_000)[1:] == pytest.approx(tuple(expected))


@pytest.mark.parametrize(
    "b", [{"x": 3}, {"x": 3, "y": 3}, {"x": 3, "z": 2}, {"x": 3, "y": 2, "z": 1}, {}], ids=str
)
def test_answers_to_other_inputs_are_not_compared(b):
    a, b = (
        {task: torch.ones(count).bool() for task, count in counts.items()}
        for counts in ({"x": 3, "y": 2}, b)
    )
    for pair in ((a, b), (b, a)):
        with pytest.raises(
            ValueError, match="the two models did not answer the same inputs of the same tasks"
        ):
            evaluate.compare(*pair)


def test_the_order_of_the_tasks_does_not_pair_them_otherwise():
    a, b = coins(0, x=(60, 0.8), y=(60, 0.3)), coins(1, x=(60, 0.7), y=(60, 0.4))
    assert evaluate.compare(a, {"y": b["y"], "x": b["x"]}) == evaluate.compare(a, b)


def test_a_wide_difference_is_told_from_none():
    a, b = coins(0, x=(300, 0.9), y=(300, 0.9)), coins(1, x=(300, 0.5), y=(300, 0.5))
    assert 30 < evaluate.compare(a, b)[1] < 40 < evaluate.compare(a, b)[2] < 50
    assert evaluate.compare(b, a)[2] < -30


def test_inputs_are_resampled_for_both_models_alike():
    """A model and itself with 2 % of the answers turned.

    Unpaired, the interval would be several times as wide.
    """
    a = coins(0, x=(1000, 0.7))
    turned = {"x": a["x"] ^ coins(1, x=(1000, 0.02))["x"]}
    point, low, high = evaluate.compare(a, turned)
    unpaired = 2 * Z * 100 * math.sqrt(2 * 0.7 * 0.3 / 1000)
    paired = 2 * Z * 100 * math.sqrt(0.02 / 1000)
    assert high - low == pytest.approx(paired, rel=0.25) and high - low < unpaired / 3
    shuffled = {"x": turned["x"][torch.randperm(1000, generator=torch.Generator().manual_seed(2))]}
    wide = evaluate.compare(a, shuffled)
    assert wide[0] == pytest.approx(point) and wide[2] - wide[1] == pytest.approx(unpaired, rel=0.1)


def test_tasks_are_resampled_apart():
    """Two tasks with the same gains.

    Their errors do not add up as those of one task seen twice would.
    """
    a, b = coins(0, x=(500, 0.8)), coins(1, x=(500, 0.7))
    one, two = evaluate.compare(a, b), evaluate.compare(a | {"y": a["x"]}, b | {"y": b["x"]})
    assert one[0] == pytest.approx(two[0])
    assert (two[2] - two[1]) / (one[2] - one[1]) == pytest.approx(1 / math.sqrt(2), rel=0.1)


def test_the_seed_decides_the_interval_and_not_the_point():
    """Means over tasks of 997 and 1009 inputs hardly ever meet.

    So equal intervals would be no accident.
    """
    a, b = coins(0, x=(997, 0.8), y=(1009, 0.6)), coins(1, x=(997, 0.7), y=(1009, 0.5))
    found = [evaluate.compare(a, b, seed=seed) for seed in range(5)]
    assert evaluate.compare(a, b, seed=3) == found[3]
    assert len({point for point, _, _ in found}) == 1
    assert len({low for _, low, _ in found}) > 1 and len({high for _, _, high in found}) > 1


# Several runs


def test_runs_with_themselves_differ_by_no_more_than_their_inputs_can_miss():
    """The inputs are the same in all runs, so that more runs show no more of them."""
    runs = [{"t": torch.arange(30) % 3 > 0}] * 3
    bound = evaluate.missed([30])
    assert evaluate.compare_runs(runs, runs) == pytest.approx((0, -bound, bound))


def test_the_interval_over_runs_is_that_of_inputs_and_of_seeds():
    """Against the two variances.

    They are of the mean over inputs of the mean gain, and of the mean over runs.
    """
    rng = np.random.default_rng(0)
    hard, skill = rng.normal(size=400), rng.normal(0.5, 0.3, size=40)
    a = [{"t": torch.tensor(rng.normal(size=400) + s > hard)} for s in skill]
    b = [{"t": torch.tensor(rng.normal(size=400) > hard)} for _ in skill]
    gain = 100 * np.stack([x["t"].numpy().astype(float) - y["t"].numpy() for x, y in zip(a, b)])
    spread = np.sqrt(gain.mean(0).var() / 400 + gain.mean(1).var() / 40)
    mean, low, high = evaluate.compare_runs(a, b)
    assert mean == pytest.approx(gain.mean())
    assert (high - low) / (2 * 1.96) == pytest.approx(spread, rel=0.15)


def test_runs_that_do_not_match_are_refused():
    one, two = [{"t": torch.tensor([True])}], [{"t": torch.tensor([True])}] * 2
    for a, b in (
        (one, two),
        (one, [{"s": torch.tensor([True])}]),
        (one, [{"t": torch.tensor([True, False])}]),
    ):
        with pytest.raises(ValueError, match="did not answer the same inputs"):
            evaluate.compare_runs(a, b)


def test_interval_is_students_by_hand():
    # Three numbers with mean 2 and standard deviation 1; Student's quantile for two degrees of
    # freedom is 4.3027.
    mean, half = evaluate.interval([1, 2, 3])
    assert mean == 2 and half == pytest.approx(4.3027 / 3**0.5, rel=1e-4)
    assert np.isnan(evaluate.interval([5.0])[1])


def test_interval_holds_the_mean_in_95_of_100_repetitions():
    rng = np.random.default_rng(0)
    held = [
        abs(m) <= half
        for m, half in (evaluate.interval(rng.standard_normal(4)) for _ in range(4000))
    ]
    assert 0.94 < np.mean(held) < 0.96


def test_runs_are_summed_up_in_percent_and_differences_in_words():
    runs = [
        {"a": torch.tensor([True, False]), "b": torch.tensor([True, True, True])},
        {"a": torch.tensor([False, False]), "b": torch.tensor([True, False, False])},
    ]
    assert evaluate.percent(runs) == pytest.approx(100 * (1 / 2 + 1 + 0 + 1 / 3) / 4)
    assert evaluate.shown((1.25, -0.04, 2.5)) == "+1.2 [-0.0, +2.5]"


def test_of_no_task_there_is_an_empty_table(suite, models):
    """As of a suite that has no task out of domain."""
    table = evaluate.accuracy(suite, models, tasks=[], device="cpu")
    assert list(table.columns) == evaluate.COLUMNS and table.empty
    assert list(evaluate.matrix(table).columns) == ["mean"]
