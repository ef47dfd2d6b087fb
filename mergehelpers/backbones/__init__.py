"""Adapters: one small interface over the networks the book merges.

A backbone holds a module for its code and never for its weights: every call takes the state dict
to use, so that many models share one module. `kind` in a suite's manifest picks the class:

* `open_clip`: the visual tower of an open_clip model (module names `transformer.resblocks.0.…`);
* `clip`: the visual tower of a Hugging Face CLIP;
* `bert`: a Hugging Face text encoder, its last hidden states pooled;
* `t5`: a Hugging Face T5; its embedding is the decoder's first hidden state, and label words are
  its classes.

`Plain` wraps any `nn.Sequential`; it has no kind, since a manifest cannot describe such a network.
"""

from mergehelpers.backbones.base import Backbone
from mergehelpers.backbones.images import ClipVision, OpenClipVision
from mergehelpers.backbones.plain import Plain
from mergehelpers.backbones.texts import BertText, T5Text

KINDS = {"open_clip": OpenClipVision, "clip": ClipVision, "bert": BertText, "t5": T5Text}

__all__ = ["KINDS", "Backbone", "BertText", "ClipVision", "OpenClipVision", "Plain", "T5Text"]
