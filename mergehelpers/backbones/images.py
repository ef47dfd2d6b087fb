"""Vision transformers of CLIP's kind, from open_clip and from Hugging Face."""

import difflib
import logging
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from mergehelpers import checkpoints
from mergehelpers.backbones.base import Backbone, Inputs, hf_config, hf_tokenizer
from mergehelpers.states import State

COLOURS = ((), (3,))  # what may follow (n, height, width)


class Images(Backbone):
    """Images as CLIP wants them.

    They may be of any size, uint8 (n, height, width[, 3]) or a list of PIL images.
    """

    normalised = True

    def __init__(self, module, width, size, mean, std):
        super().__init__(module, width)
        self.size = size
        self.mean, self.std = (torch.tensor(v).view(1, 3, 1, 1) for v in (mean, std))

    def prepare(self, inputs) -> Inputs:
        """`pixels` (images, 3, size, size), prepared.

        Short side resized, centre cropped, mean and spread removed.
        """
        array = isinstance(inputs, np.ndarray)
        if array and (
            inputs.dtype != np.uint8 or inputs.ndim < 3 or inputs.shape[3:] not in COLOURS
        ):
            raise ValueError(
                "an array of images must be uint8, 0 to 255, of shape (n, height, width) or "
                f"(n, height, width, 3); this one is {inputs.dtype} {inputs.shape}. Floats from 0 "
                "to 1: multiply by 255 and round"
            )
        if not isinstance(inputs, np.ndarray) or inputs.shape[1:3] != (self.size, self.size):
            inputs = np.stack([self._fit(image) for image in inputs])
        pixels = torch.tensor(inputs, dtype=torch.float32)
        pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels.permute(0, 3, 1, 2)
        return {"pixels": (pixels / 255 - self.mean) / self.std}

    def _margin(self, spare):
        return spare // 2

    def _fit(self, image):
        image = (Image.fromarray(image) if isinstance(image, np.ndarray) else image).convert("RGB")
        short = min(image.size)
        if short != self.size:
            image = image.resize(
                [int(side * self.size / short) for side in image.size], Image.Resampling.BICUBIC
            )
        left, top = (self._margin(side - self.size) for side in image.size)
        return np.asarray(image.crop((left, top, left + self.size, top + self.size)))


class OpenClipVision(Images):
    """The visual tower of an open_clip model.

    It is a named one, or a small one given by its architecture.
    """

    def __init__(
        self,
        model: str | None = None,
        pretrained: str | None = None,
        architecture: dict | None = None,
        mean=(0.48145466, 0.4578275, 0.40821073),
        std=(0.26862954, 0.26130258, 0.27577711),
    ):
        import open_clip

        self.model, self.pretrained = model, pretrained
        if architecture is not None:
            from open_clip.transformer import VisionTransformer

            try:
                visual, width = VisionTransformer(**architecture), architecture["output_dim"]
            except (
                TypeError,
                KeyError,
                ValueError,
                AssertionError,
                RuntimeError,
                ZeroDivisionError,
            ) as error:
                raise ValueError(
                    f"the architecture makes no open_clip VisionTransformer: {error}"
                ) from error
            super().__init__(visual, width, architecture["image_size"], mean, std)
            return
        if model not in open_clip.list_models():
            near = difflib.get_close_matches(str(model), open_clip.list_models(), 5, 0)
            raise ValueError(
                f"open_clip has no model {model!r}; the nearest of its names: {', '.join(near)}"
            )
        config = open_clip.get_model_config(model)
        with _quiet():
            visual = open_clip.create_model(
                model, force_quick_gelu=self._quick_gelu(), pretrained_hf=False
            ).visual
        super().__init__(visual, config["embed_dim"], config["vision_cfg"]["image_size"], mean, std)

    def _margin(self, spare):
        """As torchvision's CenterCrop, which differs from transformers' where 3 are to spare."""
        return round(spare / 2)

    def _quick_gelu(self):
        """Whether the weights were pretrained with QuickGELU, whatever the model's default."""
        import open_clip

        return bool(
            (open_clip.get_pretrained_cfg(self.model, self.pretrained or "") or {}).get(
                "quick_gelu"
            )
        )

    def encode(self, state, inputs):
        return self.call(state, inputs["pixels"])

    def _mlps(self):
        return [
            (
                f"transformer.resblocks.{i}.mlp.c_fc",
                block.mlp.gelu,
                f"transformer.resblocks.{i}.mlp.c_proj",
            )
            for i, block in enumerate(self.module.transformer.resblocks)
        ]

    def read(self, source):
        """As `Backbone.read`; a source `open_clip:TAG` is a pretrained tag of this model."""
        if not source.startswith("open_clip:"):
            return super().read(source)
        return self._whole(source.removeprefix("open_clip:")).visual.state_dict()

    def _whole(self, tag):
        import open_clip

        tags = open_clip.list_pretrained_tags_by_model(self.model or "")
        if tag not in tags and not Path(tag).is_file():
            known = ", ".join([*tags, "a file"])
            raise ValueError(f"open_clip has no weights {tag!r} for {self.model}; allowed: {known}")
        quick = self._quick_gelu()
        with checkpoints.hub_errors(f"{self.model} ({tag})"), _quiet():
            return open_clip.create_model(
                self.model, pretrained=tag, force_quick_gelu=quick, weights_only=True
            )

    @torch.no_grad()
    def text_head(self, source: str, classes: Sequence[str], templates: Sequence[str]) -> State:
        """Zero-shot head from the text tower in `source`.

        It is the mean direction of each class's prompts, scaled.
        """
        import open_clip

        whole, tokenise = (
            self._whole(source.removeprefix("open_clip:")),
            open_clip.get_tokenizer(self.model),
        )
        return _zero_shot(
            lambda texts: whole.encode_text(tokenise(texts)), whole.logit_scale, classes, templates
        )


class ClipVision(Images):
    """The visual tower of a Hugging Face CLIP, with the projection of the model it started from."""

    optional = ("visual_projection.weight",)

    def __init__(self, model: str):
        from transformers import AutoImageProcessor, CLIPVisionModelWithProjection

        self.model = model
        config = hf_config(model, "clip")
        with checkpoints.hub_errors(model):
            processor = AutoImageProcessor.from_pretrained(model)
        config.vision_config.projection_dim = config.projection_dim
        module = CLIPVisionModelWithProjection(config.vision_config)
        super().__init__(
            module,
            config.projection_dim,
            config.vision_config.image_size,
            processor.image_mean,
            processor.image_std,
        )

    def encode(self, state, inputs):
        return self.call(state, pixel_values=inputs["pixels"]).image_embeds

    def _mlps(self):
        path = "vision_model.encoder.layers"
        return [
            (f"{path}.{i}.mlp.fc1", layer.mlp.activation_fn, f"{path}.{i}.mlp.fc2")
            for i, layer in enumerate(self.module.vision_model.encoder.layers)
        ]

    @torch.no_grad()
    def text_head(self, source: str, classes: Sequence[str], templates: Sequence[str]) -> State:
        """Zero-shot head from the text tower in `source`.

        It is the mean direction of each class's prompts, scaled.
        """
        from transformers import CLIPModel

        tokenise = hf_tokenizer(source)
        with checkpoints.hub_errors(source):
            whole = CLIPModel.from_pretrained(source).eval()

        def encode(texts):
            tokens = tokenise(texts, padding=True, return_tensors="pt")
            return whole.text_projection(whole.text_model(**tokens).pooler_output)

        return _zero_shot(encode, whole.logit_scale, classes, templates)


def _zero_shot(encode, logit_scale, classes, templates):
    rows = []
    for name in classes:
        prompts = encode([template.replace("{}", name) for template in templates])
        rows.append((prompts / prompts.norm(dim=1, keepdim=True)).mean(0))
    weight = torch.stack(rows)
    return {
        "weight": logit_scale.exp() * weight / weight.norm(dim=1, keepdim=True),
        "bias": torch.zeros(len(classes)),
    }


@contextmanager
def _quiet():
    """open_clip warns of a network without weights, which is what we ask for."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)
