"""To ONNX (https://onnx.ai): ``encoder.onnx`` and ``decoder_step.onnx``, for onnxruntime or anything like it.

`shisen.export.onnx_graphs` says what the two hold; `shisen.export.onnx_runtime` runs them.
"""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from shisen.attention import MECHANISMS
from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.export.manifest import Quantization
from shisen.export.onnx_graphs import Axes, Graphs, Port, graphs_of, onnx_operators
from shisen.model_directory import LoadedModel

ENCODER, STEP = "encoder.onnx", "decoder_step.onnx"

_BATCH, _KEYS, _STEPS = 2, 5, 3  # of the example that the graphs are traced with


def unsupported(config: Any) -> list[str]:
    """What of a model these graphs do not hold, each with the reason."""
    reasons = []
    if config.attention_function != "softmax":
        reasons.append(f"model.attention_function {config.attention_function} (no operator of ONNX is that)")
    if getattr(config, "encoder_pattern", None) is not None:
        reasons.append("model.encoder_pattern (which tokens it gathers depends on the sentence's length)")
    if config.attention in MECHANISMS and config.attention.startswith("local-"):
        reasons.append(f"model.attention {config.attention} (its window depends on the sentence's length)")
    return reasons


def write(loaded: LoadedModel, folder: Path, quantization: Quantization) -> dict[str, Any]:
    """Write both graphs; return the names of what goes from one to the other, and the special ids.

    Args:
        loaded: The model directory.
        folder: Where: an empty folder.
        quantization: float32, or int8: the matrices as 8-bit numbers, activations quantised as they come
            (onnxruntime's dynamic quantisation).
    """
    graphs = graphs_of(loaded.model)
    source = torch.full((_BATCH, _KEYS), END)
    source[1, _KEYS - 2 :] = PADDING
    memory, state = _examples(graphs, loaded)
    previous = torch.full((_BATCH,), BEGIN)
    passed = [*graphs.memory, *graphs.state]
    with torch.no_grad(), _quiet():
        _write(
            graphs.encoder,
            (source,),
            [Port("source", {0: "batch", 1: "keys"})],
            [port.name for port in passed],
            folder / ENCODER,
        )
        _write(
            graphs.step,
            (previous, memory, state),
            [Port("previous", {0: "batch"}), *passed],
            ["logits", "attention", *(f"next_{port.name}" for port in graphs.state)],
            folder / STEP,
        )
        if quantization == "int8":
            for name in (ENCODER, STEP):
                _quantize(folder / name)
    return {
        "memory": [port.name for port in graphs.memory],
        "state": [port.name for port in graphs.state],
        "padding": PADDING,
        "begin": BEGIN,
        "end": END,
    }


def _examples(graphs: Graphs, loaded: LoadedModel) -> tuple[list[Tensor], list[Tensor]]:
    """Tensors of the shapes that go from graph to graph: what eager steps make of an example."""
    from shisen.models.transformer import TransformerTranslator

    model: Any = loaded.model
    source = torch.full((_BATCH, _KEYS), END)
    mask = source != PADDING
    with torch.no_grad():
        encoded = model.encode(source, mask)
        if isinstance(model, TransformerTranslator):
            memory = [mask, *(part for layer in encoded.layers for part in layer)]
            return memory, [torch.zeros(*part.shape[:2], _STEPS, part.shape[3]) for part in memory[1:]]
        started = model.initial_state(encoded)
    memory = [mask, encoded.prepared.keys, encoded.prepared.projected][: len(graphs.memory)]
    return memory, [part for part in started if part is not None]


def _write(
    module: torch.nn.Module, example: tuple[Any, ...], inputs: list[Port], outputs: list[str], path: Path
) -> None:
    dimensions = {name: torch.export.Dim(name) for name in ("batch", "keys", "steps")}

    def shapes(axes: Axes) -> dict[int, Any]:
        return {axis: dimensions[name] for axis, name in axes.items()}

    remaining = iter(inputs)
    dynamic = tuple(
        [shapes(next(remaining).axes) for _ in part]
        if isinstance(part, list)
        else shapes(next(remaining).axes)
        for part in example
    )
    program = torch.onnx.export(
        module.eval(),
        example,
        dynamo=True,
        input_names=[port.name for port in inputs],
        output_names=outputs,
        dynamic_shapes=dynamic,
        custom_translation_table=onnx_operators(),
        external_data=False,
        verbose=False,
    )
    assert program is not None
    program.save(str(path))


def _quantize(path: Path) -> None:
    import onnx
    from onnxruntime.quantization import QuantType, quantize_dynamic

    whole = path.with_suffix(".float32")
    path.rename(whole)
    graph = onnx.load(whole).graph
    vectors = {part.name for part in graph.initializer if len(part.dims) == 1}
    # A scale for each column, which a product with a vector (v_a) does not have.
    excluded = [node.name for node in graph.node if node.op_type == "MatMul" and vectors & {*node.input}]
    quantize_dynamic(whole, path, weight_type=QuantType.QInt8, per_channel=True, nodes_to_exclude=excluded)
    whole.unlink()


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporter's remarks on its own insides from the reader."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            logging.disable(before)
