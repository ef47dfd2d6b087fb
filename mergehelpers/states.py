"""State-dict algebra: a model is a `dict[str, Tensor]`, and merging is arithmetic on such dicts."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

State = dict[str, Tensor]


def load(path: str | Path) -> State:
    """Load a safetensors file; raises `FileNotFoundError`, or `ValueError` if the file is corrupt."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file at {path}")
    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path} is not a readable safetensors file: {error}") from error


def check_compatible(states: Sequence[Mapping[str, Tensor]]) -> None:
    """Raise one `ValueError` listing every key or shape in which the models differ from the first,
    and every tensor that holds NaN or infinity."""
    if not states:
        raise ValueError("need at least one model, got none")
    first, problems = states[0], []
    for i, state in enumerate(states):
        problems += [f"model {i} lacks {key}" for key in first.keys() - state.keys()]
        problems += [f"model {i} has an extra {key}" for key in state.keys() - first.keys()]
        for key in sorted(first.keys() & state.keys()):
            if state[key].shape != first[key].shape:
                problems.append(f"{key}: model {i} has shape {tuple(state[key].shape)}, "
                                f"model 0 has {tuple(first[key].shape)}")
            elif not torch.isfinite(state[key]).all():
                problems.append(f"{key}: model {i} holds NaN or infinity")
    if problems:
        raise ValueError("these models cannot be merged:\n  " + "\n  ".join(sorted(problems)))


def task_vector(base: Mapping[str, Tensor], expert: Mapping[str, Tensor]) -> State:
    """The task vector: expert minus base, key by key."""
    check_compatible([base, expert])
    return {key: expert[key] - base[key] for key in base}


def apply(base: Mapping[str, Tensor], vector: Mapping[str, Tensor], scale: float = 1.0) -> State:
    """Base plus `scale` times a task vector; keys absent from `vector` keep the base's value."""
    if unknown := vector.keys() - base.keys():
        raise ValueError(f"the task vector has keys the base lacks: {sorted(unknown)}")
    check_compatible([{key: base[key] for key in vector}, vector])
    return {key: base[key] + scale * vector[key] if key in vector else base[key] for key in base}


def norm(vector: Mapping[str, Tensor]) -> float:
    """Euclidean norm of all entries together."""
    return sum(v.double().square().sum().item() for v in vector.values()) ** 0.5


def cosine(a: Mapping[str, Tensor], b: Mapping[str, Tensor]) -> float:
    """Cosine of the angle between two task vectors, over all entries together."""
    if not norm(a) or not norm(b):
        raise ValueError("the cosine with a task vector of zeros is not defined")
    inner = sum((a[key].double() * b[key].double()).sum().item() for key in a)
    return inner / (norm(a) * norm(b))
