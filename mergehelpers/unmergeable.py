"""What no rule can merge, told by names, types and files: adapters, codes, odd tensors.

Every check raises one `ValueError` that names the file, the tensor, and what to do. Adapters are
refused and not merged as deltas: their scale, their rank patterns and the base that they change
stand in a configuration, which a bare file lacks.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mergehelpers import shards
from mergehelpers.beside import read_json

PLAIN = tuple(shards.CODES)
NARROW = (torch.int32, torch.int16, torch.int8, torch.uint8)  # indices and positions are int64
# Parts of names that the adapters of peft, diffusers, LyCORIS and kohya have, and full models not.
ADAPTER = re.compile(
    r"(?:^|\.)([a-z]*lora_|lora\.(?:up|down)\b|ia3_|hada_|lokr_|(?:ps)?oft_|boft_|p?vera_lambda_|hra_u"
    r"|adaption_prompt|fourierft_|waveft_|shira_|c3a_kernel|miss_block|road_theta|ln_tuning_"
    r"|trainable_tokens_|prompt_embeddings\b|adapter_(?:down|up)\b)"
)
# Last parts of names that GPTQ, AWQ and bitsandbytes write.
QUANTISED = {"qweight", "qzeros", "g_idx", "SCB", "absmax", "quant_map", "weight_format"}
SCALES = re.compile(r"scale|scb|absmax", re.IGNORECASE)


def check_plain(state: Mapping[str, Tensor], where: str | Path) -> None:
    """Raise `ValueError` unless these are the tensors of a plain model.

    So no adapter, nothing quantised, all dense, of a type in `PLAIN`, and with a name that a file
    can hold.
    """
    # Names before types: they say more about what the file is.
    if name := next(filter(ADAPTER.search, state), None):
        raise ValueError(adapter(where, name))
    scaled = {name.rpartition(".")[0] for name in state if SCALES.search(name.rpartition(".")[2])}
    for name, value in state.items():
        if _quantised(name, value, scaled):
            raise ValueError(quantised(where, f"{name}, {_type(value)}"))
    for name, value in state.items():
        if odd := _odd(value):
            raise ValueError(f"{where}: {name} {odd}")
        if name == "__metadata__" or not name.isprintable():
            raise ValueError(f"{where}: no tensor can be stored under the name {name!r}; rename it")


def check_folder(folder: Path) -> None:
    """Raise `ValueError` if what lies in a folder says that its weights are no plain model."""
    if (folder / "adapter_config.json").exists():
        raise ValueError(adapter(folder, "adapter_config.json"))
    config = folder / "config.json"
    content = read_json(config) if config.is_file() else {}
    for key in ("quantization_config", "compression_config"):
        if isinstance(content, dict) and (found := content.get(key)):
            method = found.get("quant_method", "") if isinstance(found, dict) else ""
            raise ValueError(quantised(folder, f"{config.name} has {key} {method}".rstrip()))


def adapter(where: str | Path, sign: str) -> str:
    """What is said of an adapter."""
    return (
        f"{where} is an adapter, or holds one that was not merged ({sign}): a change to a model, "
        "whose factors cannot be averaged one by one. Make a full model of it: "
        "model = PeftModel.from_pretrained(base, adapter).merge_and_unload(), then "
        "model.save_pretrained(folder). Where both lie in one folder, give the full model's file"
    )


def quantised(where: str | Path, sign: str) -> str:
    """What is said of a quantised model."""
    return (
        f"{where} is quantised ({sign}): such numbers are codes, which cannot be averaged. Take "
        "the model that it was made of; or dequantise it (transformers: model.dequantize()), and "
        "save it in bfloat16 or float32"
    )


def _quantised(name, value, scaled):
    """Whether a tensor is of a quantised model; `scaled` names the modules that have scales."""
    parent, _, last = name.rpartition(".")
    if last in QUANTISED or ".quant_state." in name or value.is_quantized:
        return True
    if (
        value.ndim < 2
        or value.is_floating_point()
        or value.dtype is torch.bool
        or value.dtype not in PLAIN
    ):
        return False
    return last == "weight" or value.dtype in NARROW and bool({parent, name} & scaled)


def _odd(value):
    """What keeps a tensor from being merged or copied, or nothing."""
    if value.is_meta:
        return "has no values (it is on the meta device); save the model after its weights are read"
    if value.layout is not torch.strided or value.is_nested:
        return "is no dense tensor; make it one with to_dense()"
    if value.is_complex():
        return f"is {_type(value)}; no rule merges complex numbers"
    if value.dtype not in PLAIN:
        allowed = ", ".join(str(kind).removeprefix("torch.") for kind in PLAIN)
        return f"is {_type(value)}; allowed: {allowed}. Save it in bfloat16, scales multiplied in"
    return ""


def _type(value):
    return str(value.dtype).removeprefix("torch.")
