"""KnOTS: TIES in a basis that the experts share."""

from collections.abc import Mapping

import torch
from torch import Tensor

from mergehelpers.merge.arithmetic import disjoint_mean, trim
from mergehelpers.merge.registry import Keep, Models, Pairs, Scale, Size, rule
from mergehelpers.merge.stacks import Stacks, check_numbers, joined


def align(stack: Tensor) -> tuple[Tensor, Tensor]:
    """Task matrices in one shared basis (KnOTS, Stoica et al. 2024): `(basis, parts)`.

    They are such that stack[k] = basis @ parts[k]. `stack` (q, rows, columns) gives `basis` (rows,
    r) with orthonormal columns and `parts` (q, r, columns), from the singular value decomposition
    of the matrices side by side. A rule applied to the parts acts on directions that experts share.
    """
    wide = stack.transpose(0, 1).reshape(stack.shape[1], -1)
    basis, values, right = torch.linalg.svd(wide, full_matrices=False)
    parts = (values.unsqueeze(1) * right).reshape(len(values), len(stack), -1)
    return basis, parts.transpose(0, 1)


def decomposition(size: Size) -> int:
    """The bytes of a decomposition of the largest weights side by side, and of its factors."""
    return 4 * size.models * size.largest * max(size.width, 4)


@rule(memory=decomposition)
def knots(base: Mapping[str, Tensor], experts: Models, keep: Keep, scale: Scale) -> Pairs:
    """TIES, weight by weight, in the shared basis of `align` (KnOTS-TIES, Stoica et al. 2024).

    Vectors are merged by plain TIES. It takes no weights: the basis would follow them.
    """
    stacks = Stacks(base, experts)

    def merged(key, value):
        check_numbers(key, value, [expert[key] for expert in experts])
        if not value.numel():
            return value
        stack = torch.stack([expert[key].to(stacks.dtype) for expert in experts])
        stack = stack - value.to(stacks.dtype)
        basis, parts = align(stack.flatten(2)) if stack.ndim > 2 else (None, stack)
        added = disjoint_mean(trim(parts.reshape(len(parts), -1), keep)).view_as(parts[0])
        added = added if basis is None else (basis @ added).view_as(stack[0])
        return joined([value.to(stacks.dtype) + scale * added], value)

    def pairs():
        firsts = {}
        for key, value in base.items():
            if key in stacks.twins:
                value = firsts[stacks.twins[key]]
            elif value.is_floating_point():
                value = merged(key, value)
            if key in stacks.twins.values():
                firsts[key] = value
            yield key, value

    return pairs()
