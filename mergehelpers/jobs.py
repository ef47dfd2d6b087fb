"""What a checked spec names: models, settings, files to write; and what the merge will need."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from torch import Tensor

from mergehelpers import checkpoints, merge, shards, states
from mergehelpers.device import all_finite
from mergehelpers.merge.registry import Rule, Size
from mergehelpers.merge.stacks import SLAB, NotFinite


@dataclass(frozen=True)
class Source:
    """A model or a file of rates that a spec names: its role, its name there, and its files."""

    role: str
    name: str
    files: list[Path]


@dataclass(frozen=True)
class Job:
    """A spec whose fields and models were checked, and what it names.

    It names sources, models, and the files to be written. `rest` holds tensors of the first model
    that stay as they are; `notes` says what a user should know before the merge.
    """

    spec: dict
    settings: dict
    sources: list[Source]
    models: list[Mapping[str, Tensor]]
    rest: dict[str, Tensor]
    shards: list[shards.Shard]
    notes: list[str]

    @property
    def rule(self) -> Rule:
        return merge.RULES[self.spec["rule"]]

    def merged(self) -> Iterable[tuple[str, Tensor]]:
        """The merged tensors, one after the other, and the rest.

        A value that is not finite raises `ValueError`.
        """
        models = (self.models[0], self.models[1:]) if "base" in self.spec else (self.models,)
        pairs = self.rule.stream(*models, **self.settings)
        return chain(_named(_finite(pairs), self.sources, "base" in self.spec), self.rest.items())

    def changes(self) -> int:
        """The number of entries of all task vectors; tied tensors count once."""
        twins = {twin for _, twin in states.tied(self.models[0])}
        floats = [v for n, v in self.models[0].items() if v.is_floating_point() and n not in twins]
        return (len(self.models) - 1) * sum(value.numel() for value in floats)

    def report(self) -> str:
        """What the merge will read, write and need, as lines of text."""
        floats = [value for value in self.models[0].values() if value.is_floating_point()]
        types = sorted({str(value.dtype).removeprefix("torch.") for value in floats})
        files = [file for source in self.sources for file in source.files]
        settings = ", ".join(
            f"{name} = {value!r}" for name, value in self.spec.get("settings", {}).items()
        )
        return "\n".join(
            [
                f"rule     {self.spec['rule']} {settings}".rstrip(),
                *(f"{source.role:<8} {source.name}" for source in self.sources),
                (
                    f"tensors  {len(self.models[0])}, of which {len(floats)} merge: "
                    f"{sum(v.numel() for v in floats):,} entries, {', '.join(types)}"
                ),
                *(
                    [f"kept     {len(self.rest)} tensors of {self.sources[0].name}, as they are"]
                    if self.rest
                    else []
                ),
                (
                    f"read     {sum(file.stat().st_size for file in files) / 1e9:.2f} GB "
                    f"in {len(files)} files"
                ),
                (
                    f"write    {sum(shard.size for shard in self.shards) / 1e9:.2f} GB "
                    f"in {len(self.shards)} files"
                ),
                f"memory   {self.memory() / 1e9:.2f} GB beside mapped files",
                *(f"note     {note}" for note in self.notes),
            ]
        )

    def memory(self) -> int:
        """An upper estimate of the bytes needed beside mapped files."""
        floats = [
            value for model in self.models for value in model.values() if value.is_floating_point()
        ]
        q = len(self.models)
        entries = [value.numel() for value in floats[: len(floats) // q]]
        width = max(4, *(value.element_size() for value in floats), 0)
        size = Size(q, max(entries, default=0), sum(entries), width)
        rows = [self.models[0][name].numel() for name in self.settings.get("rates", {})]
        unmapped = [
            file.stat().st_size
            for source in self.sources
            for file in source.files
            if not checkpoints.mapped(file)
        ]
        copied = [v.nbytes for v in floats if v.numel() == size.largest and not v.is_contiguous()]
        return sum(
            (
                int(4e8),  # Python and torch
                12 * q * SLAB * width,
                2 * size.largest * width,  # a merged tensor, as it is made and as it is written
                self.rule.memory(size),
                q * width * max(rows, default=0),
                *copied,
                *unmapped,
            )
        )


def _named(pairs, sources, has_base):
    """The pairs; a model that holds no numbers is named by its source, and not by its place."""
    try:
        yield from pairs
    except NotFinite as error:
        place = 0 if error.expert is None else error.expert + has_base
        raise ValueError(error.said(sources[place].name)) from None


def _finite(pairs):
    for name, value in pairs:
        if not all(all_finite(slab) for slab in value.flatten().split(SLAB)):
            raise ValueError(f"{name}: merged values do not fit {value.dtype}")
        yield name, value
