"""Fisher information and Gram matrices against brute force on tiny networks."""

import pytest
import tiny
import torch

from mergehelpers import curvature
from mergehelpers.backbones import Plain
from mergehelpers.suites import Suite, Task, load_suite


def perceptron_suite(classes=3):
    net = torch.nn.Sequential(
        torch.nn.Linear(4, 5), torch.nn.ReLU(), torch.nn.Linear(5, 5), torch.nn.ReLU()
    ).double()
    g = torch.Generator().manual_seed(0)
    state = {
        key: torch.randn(value.shape, generator=g, dtype=torch.float64)
        for key, value in net.state_dict().items()
    }
    head = {
        "weight": torch.randn(classes, 5, generator=g, dtype=torch.float64),
        "bias": torch.zeros(classes, dtype=torch.float64),
    }
    inputs = torch.randn(6, 4, generator=g, dtype=torch.float64)
    task = Task(
        "t",
        tuple("abc"[:classes]),
        head,
        {"unlabelled": inputs},
        {"unlabelled": torch.zeros(6, dtype=torch.long)},
    )
    return Suite("s", Plain(net, 5), state, {"t": state}, {"t": task}), inputs


def test_the_diagonal_fisher_estimates_the_expectation_over_the_models_own_answers():
    suite, inputs = perceptron_suite()
    state = suite.base
    exact = {key: torch.zeros_like(value) for key, value in state.items()}
    for x in inputs.split(1):
        moving = {key: value.clone().requires_grad_() for key, value in state.items()}
        z = suite.logits(
            "t", suite.backbone.encode(moving, suite.backbone.prepare(x)), moving
        ).log_softmax(1)[0]
        for y in range(3):
            gradients = torch.autograd.grad(z[y], moving.values(), retain_graph=True)
            for key, gradient in zip(exact, gradients):
                exact[key] += z[y].exp().detach() * gradient.square() / len(inputs)
    runs = [curvature.diagonal_fisher(suite, state, "t", inputs, seed=seed) for seed in range(200)]
    for key, value in exact.items():
        drawn = torch.stack([run[key] for run in runs])
        error = drawn.std(0) / len(runs) ** 0.5
        assert ((drawn.mean(0) - value).abs() < 5 * error + 1e-9).all()


def test_a_certain_model_has_no_fisher_information():
    suite, inputs = perceptron_suite(classes=1)
    assert not any(
        value.any() for value in curvature.diagonal_fisher(suite, suite.base, "t", inputs).values()
    )


def test_grams_are_the_second_moments_of_what_enters_a_layer():
    suite, inputs = perceptron_suite()
    hidden = torch.relu(inputs @ suite.base["0.weight"].T + suite.base["0.bias"])
    for batch in (2, 6):
        found = curvature.input_grams(suite, suite.base, inputs, batch)
        assert list(found) == ["0.weight", "2.weight"]
        torch.testing.assert_close(found["0.weight"], (inputs.T @ inputs / 6).float())
        torch.testing.assert_close(found["2.weight"], (hidden.T @ hidden / 6).float())


def test_grams_of_text_leave_padding_out(tmp_path):
    content = tiny.text_suite(tmp_path)
    (tmp_path / "moods.csv").write_text(
        "split,label,text\n"
        + "".join(
            f"{split},{label},{text}\n"
            for split in ("train", "val", "test", "unlabelled")
            for label, text in [("sad", "a cat sat"), ("glad", "yes")]
        )
    )
    suite = load_suite(str(tiny.write_manifest(tmp_path, content)))
    sentences = ["a cat sat and saw the dog", "yes"]
    name = "encoder.layer.0.attention.self.query.weight"
    padded = curvature.input_grams(suite, suite.base, sentences)[name]
    alone = [curvature.input_grams(suite, suite.base, [sentence])[name] for sentence in sentences]
    tokens = [9, 3]
    torch.testing.assert_close(
        padded, sum(n * gram for n, gram in zip(tokens, alone)) / sum(tokens), atol=1e-5, rtol=1e-4
    )


def test_grams_of_a_vision_transformer_count_packed_attention(tmp_path):
    tiny.vit_suite(tmp_path)
    suite = load_suite(str(tmp_path))
    found = curvature.input_grams(suite, suite.base, suite.task("pets").inputs["test"])
    assert set(found) == {
        f"transformer.resblocks.{i}.{name}"
        for i in (0, 1)
        for name in ("attn.in_proj_weight", "mlp.c_fc.weight", "mlp.c_proj.weight")
    }
    for name, gram in found.items():
        assert gram.shape == (suite.base[name].shape[1],) * 2


@pytest.mark.parametrize(
    "measure",
    [
        lambda s: curvature.diagonal_fisher(s, s.base, "t", []),
        lambda s: curvature.input_grams(s, s.base, []),
    ],
)
def test_no_inputs_are_refused(measure):
    with pytest.raises(ValueError, match="needs? inputs; there are none"):
        measure(perceptron_suite()[0])
