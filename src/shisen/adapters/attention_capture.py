"""The attention weights of a transformers model, taken from its layers while it computes.

Where a model computes with fused kernels there are no weights. `eager_attention` has it form them, and
`capture_attention` takes those of each layer off the device as they come and keeps what is wanted: the device
holds the weights of one layer at a time, not those of all.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from shisen.adapters.attention_places import Place, attention_places, has_two_sides
from shisen.adapters.choice import Choice, chosen_numbers
from shisen.errors import UserError
from shisen.inspection.attention_map import Kind

#: What transformers calls the kinds in the output of a model with two sides.
_OUTPUT_NAMES: Mapping[Kind, str] = {
    "encoder": "encoder_attentions",
    "decoder": "decoder_attentions",
    "cross": "cross_attentions",
}

Captured = dict[Kind, Float32[Tensor, "batch layers heads queries keys"]]


@contextmanager
def evaluating(model: Any) -> Iterator[None]:
    """Without dropout and without gradients inside; afterwards every part is as it was."""
    before = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in before:
            module.training = training


@contextmanager
def eager_attention(model: Any) -> Iterator[None]:
    """Attention that forms its weights inside; afterwards the implementation that was chosen before.

    Each layer asks the configuration that it was made with, which in a composite model need not be the one
    that the model holds: all of them are set. (``model.set_attn_implementation`` sets those of models alone.)
    """
    before = [(config, config._attn_implementation) for config in _configurations(model)]
    try:
        for config, _ in before:
            config._attn_implementation = "eager"
        yield
    finally:
        for config, implementation in before:
            config._attn_implementation_internal = implementation  # the other name would set the parts' too


def _configurations(model: Any) -> list[Any]:
    """Those of a model, its parts and its layers, each once."""
    waiting = [module.config for module in model.modules() if hasattr(module, "config")]
    found: dict[int, Any] = {}
    while waiting:
        config = waiting.pop()
        if id(config) not in found and hasattr(config, "_attn_implementation"):
            found[id(config)] = config
            waiting += [getattr(config, name, None) for name in config.sub_configs]
    return list(found.values())


def capture_attention(model: Any, inputs: Mapping[str, Any], choice: Choice) -> Captured:
    """Run a model whose attention is eager, and keep by kind the weights that are wanted.

    They are on the CPU; layers and heads are in the order of the choice.

    Raises:
        UserError: The model gives no weights, its layers differ in shape, or there is no such layer or head.
    """
    places = attention_places(model)
    expected = {kind for kind in _OUTPUT_NAMES if choice.has(kind)} if has_two_sides(model) else set()
    if not places or expected - {place.kind for place in places}:
        return _of_output(model, inputs, choice)
    order = {
        kind: chosen_numbers(choice.layers, _depth(kind, places, model), f"{kind} layer")
        for kind in dict.fromkeys(place.kind for place in places if choice.has(place.kind))
    }
    if not order:
        there = ", ".join(dict.fromkeys(place.kind for place in places))
        raise UserError(f"{type(model).__name__} has no such kind of attention; it has {there}")
    captured: Captured = {}
    calls: dict[Kind, int] = defaultdict(int)

    def hook_of(place: Place) -> Any:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            number = calls[place.kind]  # of the layer: a module that layers share is called for each
            calls[place.kind] += 1
            if number in order[place.kind]:
                weights = _chosen_heads(_weights_in(output, place, model), choice.heads)
                _put(captured, place.kind, order[place.kind], number, weights)

        return hook

    hooks = [place.module.register_forward_hook(hook_of(place)) for place in places if place.kind in order]
    try:
        _run(model, inputs)
    finally:
        for hook in hooks:
            hook.remove()
    return captured


def _run(model: Any, inputs: Mapping[str, Any]) -> Any:
    """The output of a model; one that needs more than a text or an image says what it misses."""
    try:
        return model(**inputs)
    except (TypeError, ValueError, AttributeError) as error:  # of what is not there
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{type(model).__name__} cannot read this alone: {reason}") from error


def _depth(kind: Kind, places: Sequence[Place], model: Any) -> int:
    """How many layers a side has; ALBERT's share their modules."""
    if hasattr(model.config, "num_hidden_groups"):
        return model.config.num_hidden_layers
    return sum(place.kind == kind for place in places)


def _weights_in(output: Any, place: Place, model: Any) -> Tensor:
    weights = output[place.index] if isinstance(output, tuple) and len(output) > 1 else None
    if weights is None:
        raise _no_weights(model)
    return weights


def _no_weights(model: Any) -> UserError:
    return UserError(
        f"{type(model).__name__} gives no attention weights: it has no attention, or none that forms them"
    )


def _chosen_heads(weights: Tensor, heads: Sequence[int] | None) -> Tensor:
    """The chosen heads of a layer, ``[batch, heads, queries, keys]``."""
    return weights if heads is None else weights[:, chosen_numbers(heads, weights.shape[1], "head")]


def _put(captured: Captured, kind: Kind, order: Sequence[int], number: int, weights: Tensor) -> None:
    """Copy a layer to its place among those of its kind, off the device."""
    if kind not in captured:
        size = (len(weights), len(order), *weights.shape[1:])
        captured[kind] = torch.empty(size, dtype=torch.float32)
    place = captured[kind][:, order.index(number)]
    if place.shape != weights.shape:
        shapes = f"{list(place.shape)} and {list(weights.shape)}"
        raise no_map(f"the {kind} layers have the shapes {shapes}")
    place.copy_(weights.detach())


def no_map(what: str) -> UserError:
    """What is wrong with attention that is not of each token over all others, the same in every layer."""
    return UserError(f"{what}: windows, stages and pruned heads make no map of each token over all others")


def _of_output(model: Any, inputs: Mapping[str, Any], choice: Choice) -> Captured:
    """The same of a model whose parts do not say what they return: from its output, all layers at once."""
    output = _run(model, {**inputs, "output_attentions": True})
    if has_two_sides(model):
        names: Mapping[Kind, str] = _OUTPUT_NAMES
    else:
        names = {"decoder" if model.can_generate() else "encoder": "attentions"}
    captured: Captured = {}
    for kind, name in names.items():
        if choice.has(kind):
            layers = getattr(output, name, None)
            if not layers or layers[0] is None:
                raise _no_weights(model)
            numbers = chosen_numbers(choice.layers, len(layers), f"{kind} layer")
            for number in numbers:
                _put(captured, kind, numbers, number, _chosen_heads(layers[number], choice.heads))
    return captured
