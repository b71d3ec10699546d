"""Where in a transformers model attention weights are formed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

from shisen.inspection.attention_map import Kind


@dataclass(frozen=True)
class Place:
    """A part of a model that gives attention weights.

    Attributes:
        module: The part.
        index: Where the weights are in the tuple that it returns.
        kind: What looks at what.
    """

    module: nn.Module
    index: int
    kind: Kind


def has_two_sides(model: Any) -> bool:
    """Whether a model is an encoder with a decoder."""
    return bool(getattr(model.config, "is_encoder_decoder", False))


def attention_places(model: Any) -> list[Place]:
    """The parts of a model that give attention weights, from the first layer to the last.

    Most models of transformers say of themselves which parts these are (``_can_record_outputs``); of one that
    does not there are none here.
    """
    encoder = {id(module) for module in model.get_encoder().modules()} if has_two_sides(model) else None
    places: dict[int, Place] = {}
    for module, key, index in _recorded(model, "", _records_of(model)):
        if key == "cross_attentions":
            kind: Kind = "cross"
        elif encoder is not None:
            kind = "encoder" if id(module) in encoder else "decoder"
        else:
            kind = "decoder" if _is_causal(module, model) else "encoder"
        places.setdefault(id(module), Place(module, index, kind))
    return list(places.values())


def is_pretrained_model(module: Any) -> bool:
    """Whether a module is a model of transformers, and not a layer of one."""
    from transformers import PreTrainedModel

    return isinstance(module, PreTrainedModel)


def _records_of(model: Any) -> list[tuple[str, Any]]:
    """What a model says about the parts whose outputs are attention: (key, class or recorder)."""
    said = getattr(model, "_can_record_outputs", None) or {}
    found = []
    for key in ("attentions", "cross_attentions"):
        entries = said.get(key) or []
        found += [(key, entry) for entry in (entries if isinstance(entries, list) else [entries])]
    return found


def _recorded(
    parent: nn.Module, path: str, records: list[tuple[str, Any]]
) -> Iterator[tuple[nn.Module, str, int]]:
    """The parts below a part that the records mean: (part, key, index in what it returns).

    A model within a model (a decoder, a vision tower) has records of its own, which hold for its parts.
    """
    for name, module in parent.named_children():
        place = f"{path}.{name}"
        for key, entry in records:
            if _means(entry, module, place):
                yield module, key, 1 if isinstance(entry, type) else entry.index
        yield from _recorded(module, place, _records_of(module) if is_pretrained_model(module) else records)


def _means(entry: Any, module: nn.Module, path: str) -> bool:
    """Whether a record means a part: by its class, and where it gives one by the name of a part."""
    kind_of_part = entry if isinstance(entry, type) else getattr(entry, "target_class", None)
    if kind_of_part is None or not isinstance(module, kind_of_part):
        return False
    name = getattr(entry, "layer_name", None)
    return name is None or f".{name.strip('.')}." in f"{path}."


def _is_causal(module: nn.Module, model: Any) -> bool:
    """Whether a part looks only at what came before; of one that does not say, whether the model writes."""
    said = [bool(part.is_causal) for part in module.modules() if hasattr(part, "is_causal")]
    return said[0] if said else bool(getattr(model.config, "is_decoder", False) or model.can_generate())
