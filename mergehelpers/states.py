"""State-dict algebra: a model is a `dict[str, Tensor]`, and merging is arithmetic on such dicts.

Only floating-point tensors merge; integer and boolean tensors (position ids, counters) keep the
base's value. `checkpoints` reads them from files.
"""

import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save as serialise
from torch import Tensor

State = dict[str, Tensor]
OUTPUT_SIDE = ("proj", "post", "pooler", "final", "head", "fc.")
SHOWN = 3  # names that a report shows of many


def save(
    state: Mapping[str, Tensor], path: str | Path, metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file under a temporary name, then rename it.

    Tied tensors are written twice.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".part")
    try:
        tensors = {key: value.detach().cpu().clone().contiguous() for key, value in state.items()}
        temporary.write_bytes(serialise(tensors, metadata=dict(metadata or {})))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Mixed(dict):
    """A model with which those of another precision may be compared and merged.

    See `check_compatible`.
    """


class OnDevice(Mapping):
    """A model whose tensors come to a device one at a time, each time that one asks for them.

    So the rules merge there what does not fit there: `merge.ties.stream(OnDevice(base, "cuda"),
    …)`.
    """

    def __init__(self, source: Mapping[str, Tensor], device: torch.device | str):
        self.source, self.device = source, device

    def __getitem__(self, key):
        return self.source[key].to(self.device)

    def __iter__(self):
        return iter(self.source)

    def __len__(self):
        return len(self.source)


def where_it_lies(state: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    """The model, without its way to a device: for what its names, shapes and types say."""
    return getattr(state, "source", state)


def check_compatible(
    states: Sequence[Mapping[str, Tensor]], names: Sequence[str] | None = None, values: bool = True
) -> None:
    """Raise one `ValueError` listing all that forbids merging these models, a line a cause.

    Compared with the first: missing and extra keys, shapes, dtypes (if the first is `Mixed`, only
    whether they are floating-point), tensors tied in one model and not in another; in every model,
    if `values` are to be read: NaN and infinity. `names` are used in the report.
    """
    if not states:
        raise ValueError("need at least one model, got none")
    names = names or [f"model {i}" for i in range(len(states))]
    states = [where_it_lies(state) for state in states]
    guilty = {}
    for name, state in zip(names, states, strict=True):
        for cause in _differences(states[0], state, names[0], values):
            guilty.setdefault(cause, []).append(name)
    if guilty:
        lines = sorted(
            f"{before}{'each of ' * (len(who) > 1)}{_some(who)}{after}"
            for (before, after), who in guilty.items()
        )
        raise ValueError("these models cannot be merged:\n  " + "\n  ".join(lines))


def _all_finite(tensor):
    """Whether no entry is NaN or infinite; a sum tells most tensors apart many times as fast."""
    if tensor.dtype in (torch.float32, torch.float64) and torch.isfinite(tensor.sum()):
        return True
    return bool(torch.isfinite(tensor).all())


def _differences(first, state, its_name, values):
    """Why a model does not fit the first, as pairs: a line up to the model's name, and after it."""
    out, before = prefix(state, first)
    if out:
        return [("", f" has names that all begin with {out}, unlike those of {its_name}")]
    if before:
        return [("", f" has names that all lack {before}, which those of {its_name} have")]
    lacking, extra = first.keys() - state.keys(), state.keys() - first.keys()
    shapes, types, wild = {}, {}, []
    for key in sorted(first.keys() & state.keys()):
        mine, other = state[key], first[key]
        if mine.shape != other.shape:
            shapes[key] = tuple(mine.shape), tuple(other.shape)
        elif mine.dtype != other.dtype and not (
            isinstance(first, Mixed) and mine.is_floating_point() and other.is_floating_point()
        ):
            types[key] = mine.dtype, other.dtype
        elif values and not _all_finite(mine):
            wild.append(key)
    lines = [("", f" lacks {_some(lacking, 'tensors')}")] if lacking else []
    an = "an " if len(extra) == 1 else ""
    lines += [("", f" has {an}extra {_some(extra, 'tensors')}")] if extra else []
    lines += _unlike(shapes, "has shape", f"{its_name} has", "shapes")
    lines += _unlike(types, "is", f"{its_name} is", "types")
    lines += [(f"{_some(wild, 'tensors')}: ", " holds NaN or infinity")] if wild else []
    untied = [
        f"{a} and {b}"
        for a, b in tied(first)
        if a in state and b in state and not torch.equal(state[a], state[b])
    ]
    if untied:
        lines.append((f"{_some(untied, 'pairs')} are tied in {its_name} but differ in ", ""))
    return lines


def _unlike(pairs, mine, other, what):
    """Lines for tensors whose shapes or types (this model's, the first's) differ, a line a pair."""
    alike = {}
    for key, pair in pairs.items():
        alike.setdefault(pair, []).append(key)
    lines = [
        (f"{_some(keys, 'tensors')}: ", f" {mine} {ours}, {other} {theirs}")
        for (ours, theirs), keys in list(alike.items())[:SHOWN]
    ]
    rest = sum(len(keys) for keys in list(alike.values())[SHOWN:])
    return lines + ([(f"{rest:,} more tensors: ", f" has other {what}")] if rest else [])


def _some(names, what="models"):
    """Names in words: all of a few, of many the first, and how many there are."""
    names = sorted(names) if isinstance(names, set) else names
    many = len(names) > SHOWN
    return ", ".join(names[:SHOWN]) + (f", … ({len(names):,} {what})" if many else "")


def prefix(names: Iterable[str], wanted: Iterable[str]) -> tuple[str, str]:
    """The prefix that keeps names from being the wanted ones, as (to leave out, to put before).

    Data parallel training, torch.compile and peft put one before all names: `module.`,
    `_orig_mod.`, `base_model.model.`. At most one of the two is there; none is where some names
    agree as they are, or where no single prefix explains the difference.
    """
    names, wanted = set(names), set(wanted)
    out, before = prefixes(wanted, names), prefixes(names, wanted)
    if names & wanted:
        return "", ""
    if len(out) == 1 and all(name.startswith(out[0]) for name in names):
        return out[0], ""
    if len(before) == 1 and all(before[0] + name in wanted for name in names):
        return "", before[0]
    return "", ""


def prefixes(short: Iterable[str], long: Iterable[str]) -> list[str]:
    """The prefix that, put before short names, gives the most long ones; several if they tie."""
    short = set(short)
    counts = Counter(
        name[: dot.end()]
        for name in long
        for dot in re.finditer(r"\.", name)
        if name[dot.end() :] in short
    )
    most = max(counts.values(), default=0)
    return sorted(start for start, count in counts.items() if count == most)


def shared_prefix(names: Iterable[str]) -> str:
    """What all names begin with, up to a dot and with it; nothing if they share no such part."""
    start = os.path.commonprefix(list(names))
    return start[: start.rfind(".") + 1]


def named_as(first: Mapping[str, Tensor], state: State) -> tuple[State, str]:
    """A state under the names of the first, if a `prefix` explains that they differ; and a note.

    The note says what was done, in words that follow the model's name; it is empty for none.
    """
    out, before = prefix(state, first)
    if not out and not before:
        return state, ""
    note = f"begin with {out}, which is left out" if out else f"lack {before}, which is put before"
    return {before + name.removeprefix(out): value for name, value in state.items()}, note


def tied(state: Mapping[str, Tensor]) -> list[tuple[str, str]]:
    """Pairs of names that share one tensor in memory (tied weights).

    Each name comes with the first of its group.
    """
    seen, pairs = {}, []
    for key, value in where_it_lies(state).items():
        place = (value.data_ptr(), value.shape, value.stride())
        if value.numel() and place in seen:
            pairs.append((seen[place], key))
        seen.setdefault(place, key)
    return pairs


def task_vector(base: Mapping[str, Tensor], expert: Mapping[str, Tensor]) -> State:
    """The task vector: expert minus base, for every floating-point tensor."""
    check_compatible([base, expert], ["base", "expert"])
    return {key: expert[key] - value for key, value in base.items() if value.is_floating_point()}


def apply(base: Mapping[str, Tensor], vector: Mapping[str, Tensor], scale: float = 1.0) -> State:
    """Base plus `scale` times a task vector; keys absent from `vector` keep the base's value."""
    if unknown := vector.keys() - base.keys():
        raise ValueError(f"the task vector has keys the base lacks: {sorted(unknown)}")
    check_compatible([{key: base[key] for key in vector}, vector], ["base", "task vector"])
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


def depths(state: Mapping[str, Tensor]) -> dict[str, float]:
    """How deep each tensor lies, from 0 to 1, by the number of its block.

    That is the first number in its name. Of the tensors outside blocks, those whose name tells of
    the output side are at 1, embeddings and the rest at 0.
    """
    blocks = {key: re.match(r"(.*?)(?:^|\.)(\d+)\.", key) for key in state}
    last = {}
    for match in filter(None, blocks.values()):
        last[match[1]] = max(last.get(match[1], 0), int(match[2]))

    def at_the_end(key):
        return "embed" not in key and any(word in key for word in OUTPUT_SIDE)

    return {
        key: int(match[2]) / max(last[match[1]], 1) if match else float(at_the_end(key))
        for key, match in blocks.items()
    }
