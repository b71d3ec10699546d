"""The networks as two graphs: one reads a sentence, the other takes one step.

    encoder        source [batch, keys]                        -> memory…, state…
    decoder_step   previous [batch], memory…, state…           -> logits, attention, state…

`memory` is what the steps attend to, `state` what they hand on. All of both have the batch as their first
axis, so beams are rows: repeat the memory, and choose rows of the state. The classes here only say in which
order a network's parts come; what they compute is the networks' own code.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn

from shisen.attention import KeyValueCache, PreparedKeys
from shisen.data.vocabulary import PADDING
from shisen.models.decoder import DecoderState
from shisen.models.encoder import EncoderOutput
from shisen.models.recurrent import Memory, RecurrentTranslator
from shisen.models.step_cache import StepCache
from shisen.models.transformer import Layer, TransformerTranslator

Axes = dict[int, str]
"""The axes of a tensor that have no fixed length, and their names."""


class Port(NamedTuple):
    """A tensor that goes from graph to graph."""

    name: str
    axes: Axes


class Graphs(NamedTuple):
    """The two graphs of a network, and the tensors between them."""

    encoder: nn.Module
    step: nn.Module
    memory: list[Port]
    state: list[Port]


def graphs_of(model: nn.Module) -> Graphs:
    """The graphs of a network of either family, in evaluation mode."""
    if isinstance(model, TransformerTranslator):
        return _transformer_graphs(model)
    return _recurrent_graphs(cast(RecurrentTranslator, model))


# -------------------------------------------------------------------------------------- the Transformer


def _transformer_graphs(model: TransformerTranslator) -> Graphs:
    layers = range(model.config.decoder_layers)
    memory = [Port("memory_mask", {0: "batch", 1: "keys"})]
    memory += [
        Port(f"memory_{part}_{layer}", {0: "batch", 2: "keys"})
        for layer in layers
        for part in ("keys", "values")
    ]
    state = [
        Port(f"state_{part}_{layer}", {0: "batch", 2: "steps"})
        for layer in layers
        for part in ("keys", "values")
    ]
    return Graphs(_TransformerEncoder(model), _TransformerStep(model), memory, state)


class _TransformerEncoder(nn.Module):
    def __init__(self, model: TransformerTranslator) -> None:
        super().__init__()
        self.model = model

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        model = self.model
        mask = source != PADDING  # [batch, keys]
        x = model.source_embedding(source)  # [batch, keys, size]
        for layer in model.encoder:
            x = layer(x, mask).x
        x = model.encoder_norm(x)
        memory: list[Tensor] = [mask]
        state: list[Tensor] = []
        for layer in cast(list[Layer], model.decoder):
            keys, values = layer.project_memory(x)  # [batch, heads, keys, head_size]
            memory += [keys, values]
            state += [keys[:, :, :0], values[:, :, :0]]  # no step has been taken
        return (*memory, *state)


class _Past(NamedTuple):
    """A layer's keys and values of the steps before, in tensors of just that length: a `StepCache`."""

    key_values: KeyValueCache

    def append(self, step: KeyValueCache) -> "_Past":
        return _Past(self.key_values.append(step))


class _TransformerStep(nn.Module):
    def __init__(self, model: TransformerTranslator) -> None:
        super().__init__()
        self.model = model

    def forward(self, previous: Tensor, memory: list[Tensor], state: list[Tensor]) -> tuple[Tensor, ...]:
        model = self.model
        mask, *keys_and_values = memory
        steps = state[0].shape[2]
        x = model.target_embedding(previous[:, None], position=steps)  # [batch, 1, size]
        positions = torch.full((1,), steps, dtype=torch.long)
        now: list[Tensor] = []
        attention = []
        for number, layer in enumerate(cast(list[Layer], model.decoder)):
            pair = slice(2 * number, 2 * number + 2)
            out = layer(
                x,
                past=cast(StepCache, _Past(KeyValueCache(*state[pair]))),
                positions=positions,
                memory=KeyValueCache(*keys_and_values[pair]),
                memory_mask=mask,
                return_weights=True,
            )
            x = out.x
            now += out.past.key_values
            attention.append(out.cross_weights[:, :, 0])  # [batch, heads, keys]
        logits = model.output(model.decoder_norm(x))[:, 0]  # [batch, vocabulary]
        return (logits, torch.stack(attention, 1), *now)


# ------------------------------------------------------------------------------ the recurrent networks

# torch.export unrolls a loop over the words of its example. These stand for ONNX's own recurrent operators.
torch.library.define(
    "shisen::onnx_gru",
    "(Tensor x, Tensor lengths, Tensor w, Tensor r, Tensor b, int hidden, str direction) -> (Tensor, Tensor)",
)
torch.library.define(
    "shisen::onnx_lstm",
    "(Tensor x, Tensor lengths, Tensor w, Tensor r, Tensor b, int hidden, str direction) "
    "-> (Tensor, Tensor, Tensor)",
)


def _empty_outputs(x: Tensor, r: Tensor, hidden: int) -> tuple[Tensor, Tensor]:
    keys, batch, _ = x.shape
    directions = r.shape[0]
    return x.new_empty(keys, directions, batch, hidden), x.new_empty(directions, batch, hidden)


@torch.library.register_fake("shisen::onnx_gru")
def _(x, lengths, w, r, b, hidden, direction):  # type: ignore[no-untyped-def]
    return _empty_outputs(x, r, hidden)


@torch.library.register_fake("shisen::onnx_lstm")
def _(x, lengths, w, r, b, hidden, direction):  # type: ignore[no-untyped-def]
    states, last = _empty_outputs(x, r, hidden)
    return states, last, last.clone()


def _gru_to_onnx(x: Any, lengths: Any, w: Any, r: Any, b: Any, hidden: int, direction: str) -> Any:
    from onnxscript import opset18

    return opset18.GRU(x, w, r, b, lengths, hidden_size=hidden, direction=direction, linear_before_reset=1)


def _lstm_to_onnx(x: Any, lengths: Any, w: Any, r: Any, b: Any, hidden: int, direction: str) -> Any:
    from onnxscript import opset18

    return opset18.LSTM(x, w, r, b, lengths, hidden_size=hidden, direction=direction)


def onnx_operators() -> dict[Any, Any]:
    """What stands in the graphs -> what writes it as ONNX."""
    return {
        torch.ops.shisen.onnx_gru.default: _gru_to_onnx,
        torch.ops.shisen.onnx_lstm.default: _lstm_to_onnx,
    }


class _RecurrentLayer(nn.Module):
    """A layer of `torch.nn.GRU` or `LSTM` as ONNX has it: gates in another order, directions stacked."""

    def __init__(self, layer: nn.GRU | nn.LSTM) -> None:
        super().__init__()
        self.hidden = layer.hidden_size
        self.is_lstm = isinstance(layer, nn.LSTM)
        self.direction = "bidirectional" if layer.bidirectional else "forward"
        # torch: r z n, and i f g o; ONNX: z r h, and i o f c
        order = (0, 3, 1, 2) if self.is_lstm else (1, 0, 2)
        suffixes = ("_l0", "_l0_reverse") if layer.bidirectional else ("_l0",)

        def stacked(name: str) -> Tensor:
            parts = [getattr(layer, name + suffix).detach() for suffix in suffixes]
            by_gate = [part.unflatten(0, (len(order), -1))[list(order)].flatten(0, 1) for part in parts]
            return torch.stack(by_gate)  # [directions, gates * hidden, …]

        self.register_buffer("w", stacked("weight_ih"))
        self.register_buffer("r", stacked("weight_hh"))
        self.register_buffer("b", torch.cat([stacked("bias_ih"), stacked("bias_hh")], 1))

    def forward(self, states: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """[batch, keys, inputs] -> all states, the last ones and the last cells, directions side by side."""
        operator = torch.ops.shisen.onnx_lstm if self.is_lstm else torch.ops.shisen.onnx_gru
        every, *last = operator(
            states.transpose(0, 1), lengths, self.w, self.r, self.b, self.hidden, self.direction
        )
        sides = [part.transpose(0, 1).flatten(1) for part in last]  # [batch, directions * hidden]
        states = every.permute(2, 0, 1, 3).flatten(2)  # [batch, keys, directions * hidden]
        return states, sides[0], sides[1] if self.is_lstm else None


def _recurrent_graphs(model: RecurrentTranslator) -> Graphs:
    source = torch.tensor([[PADDING + 4, PADDING + 4]])
    example = model.encode(source, source != PADDING)
    has_projected = example.prepared.projected is not example.prepared.keys
    memory = [Port("memory_mask", {0: "batch", 1: "keys"}), Port("memory_states", {0: "batch", 1: "keys"})]
    if has_projected:  # without attention that is the one context of the sentence
        is_per_key = example.prepared.projected.shape[1] == source.shape[1]
        axes = {0: "batch", 1: "keys"} if is_per_key else {0: "batch"}
        memory.append(Port("memory_projected", axes))
    started = model.initial_state(example)
    fields = [name for name, part in zip(started._fields, started, strict=True) if part is not None]
    state = [
        Port(f"state_{name}", {0: "batch", 2: "keys"} if name == "coverage" else {0: "batch"})
        for name in fields
    ]
    return Graphs(
        _RecurrentEncoder(model, has_projected), _RecurrentStep(model, has_projected, fields), memory, state
    )


class _RecurrentEncoder(nn.Module):
    def __init__(self, model: RecurrentTranslator, has_projected: bool) -> None:
        super().__init__()
        self.model, self.has_projected = model, has_projected
        layers = cast(Sequence[nn.GRU | nn.LSTM], model.encoder.layers)
        self.layers = nn.ModuleList(_RecurrentLayer(layer) for layer in layers)

    def forward(self, source: Tensor) -> tuple[Tensor, ...]:
        encoder, decoder = self.model.encoder, self.model.decoder
        mask = source != PADDING  # [batch, keys]
        lengths = mask.sum(1).to(torch.int32)
        states = encoder.embedding(source)  # [batch, keys, embedding]
        last, last_cell = states[:, 0], None
        for layer in self.layers:
            states, last, last_cell = layer(states, lengths)
        states = states * mask[..., None]
        if encoder.adds_directions:
            states, last = encoder._add(states), encoder._add(last)
        prepared = decoder.attention.prepare(states, mask=mask)
        state = decoder.initial_state(EncoderOutput(states, last, last_cell), mask)
        memory = [mask, states, *([prepared.projected] if self.has_projected else [])]
        return (*memory, *(part for part in state if part is not None))


class _RecurrentStep(nn.Module):
    def __init__(self, model: RecurrentTranslator, has_projected: bool, fields: list[str]) -> None:
        super().__init__()
        self.model, self.has_projected, self.fields = model, has_projected, fields

    def forward(self, previous: Tensor, memory: list[Tensor], state: list[Tensor]) -> tuple[Tensor, ...]:
        mask, states = memory[:2]
        projected = memory[2] if self.has_projected else states
        given = dict.fromkeys(DecoderState._fields) | dict(zip(self.fields, state, strict=True))
        out = self.model.step(
            previous[:, None],
            DecoderState(**cast(Any, given)),
            Memory(PreparedKeys(states, projected, states, mask), cast(Any, None), mask),
        )
        now = [getattr(out.state, name) for name in self.fields]
        return (out.logits[:, 0], out.attention["cross"][:, 0], *now)
