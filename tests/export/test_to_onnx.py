"""Exported to ONNX, every network takes the same steps: any batch, any length, run without PyTorch."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jaxtyping
import numpy as np
import pytest
import torch

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.errors import UserError
from shisen.export.exporting import export_model
from shisen.export.onnx_runtime import OnnxModel
from shisen.export.to_onnx import unsupported
from shisen.model_directory import load_model
from shisen.models import RecurrentConfig, TransformerConfig
from shisen.pipelines import Translator
from small_model import SOURCES, save_small_model, save_small_transformer

pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")

RECURRENT = [
    {"attention": "bahdanau"},
    {"attention": "bahdanau", "coverage": True, "cell": "lstm", "readout": "tanh", "initial_state": "mean"},
    {"attention": "luong-general", "cell": "lstm", "encoder_layers": 2, "decoder_layers": 2},
    {"attention": "luong-dot", "input_feeding": False, "initial_state": "zero"},
    {"attention": "luong-concat", "bidirectional": False, "tie_embeddings": True},
    {"attention": "none"},
]
TRANSFORMERS = [
    {"encoder_layers": 1},
    {"norm": "post", "positions": "learned", "max_positions": 6, "activation": "swiglu"},
    {"positions": "rotary", "key_value_heads": 2, "activation": "gelu"},
    {"positions": "alibi", "tie_embeddings": "none"},
]
LENGTHS = [[5], [1, 1], [7, 2, 4]]
LINES = [*SOURCES, "", "i read a mat on books .", "learning", "cat " * 9]


@pytest.fixture(autouse=True)
def _shapes_are_symbols():
    """Tracing puts symbols in place of sizes, which no check of shapes can compare."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


def saved(folder: Path, settings: dict[str, object]) -> Path:
    if "attention" in settings:
        return save_small_model(folder, **settings)
    return save_small_transformer(folder, **settings)


@pytest.fixture(scope="module")
def export_of(tmp_path_factory) -> Callable[[dict[str, object]], tuple[Path, Path]]:
    """(model directory, its export to ONNX) of these settings; made once."""
    made: dict[str, tuple[Path, Path]] = {}

    def export(settings: dict[str, object]) -> tuple[Path, Path]:
        name = str(settings)
        if name not in made:
            folder = tmp_path_factory.mktemp("onnx")
            export_model(saved(folder / "model", settings), "onnx", folder / "out")
            made[name] = (folder / "model", folder / "out")
        return made[name]

    return export


def variants() -> list[Any]:
    """One of each family now, the others in the slow set: an export takes seconds."""
    found = []
    for family in (RECURRENT, TRANSFORMERS):
        for number, settings in enumerate(family):
            marks = [pytest.mark.slow] if number > 0 else []
            name = " ".join(map(str, settings.values())) or "default"
            found.append(pytest.param(settings, id=name, marks=marks))
    return found


@pytest.mark.parametrize("settings", variants())
def test_steps_are_the_same_in_any_batch_of_any_length(settings, export_of):
    folder, out = export_of(settings)
    model, onnx = load_model(folder).model, OnnxModel(out, threads=1)
    vocabulary = len(onnx.source_tokenizer), len(onnx.target_tokenizer)
    generator = torch.Generator().manual_seed(1)
    for lengths in LENGTHS:
        source = torch.randint(4, vocabulary[0], (len(lengths), max(lengths)), generator=generator)
        for row, length in enumerate(lengths):
            source[row, length - 1] = END
            source[row, length:] = PADDING
        words = torch.randint(4, vocabulary[1], (8, len(lengths)), generator=generator)
        words[0] = BEGIN
        with torch.no_grad():
            memory = model.encode(source, source != PADDING, True)
            state = model.initial_state(memory)
            their_memory, their_state = onnx.encode(source.numpy())
            for previous in words:
                ours = model.step(previous[:, None], state, memory)
                theirs = onnx.step(previous.numpy(), their_memory, their_state)
                state, their_state = ours.state, theirs.state
                np.testing.assert_allclose(theirs.logits, ours.logits[:, 0], atol=1e-4)
                np.testing.assert_allclose(theirs.attention, ours.attention["cross"][:, 0], atol=1e-5)
    expected = [one.text for one in Translator.load(folder).translate(LINES, beam_size=1)]
    assert onnx.translate(LINES) == expected
    assert onnx.translate([]) == []


def test_it_runs_without_pytorch(export_of):
    folder, out = export_of(RECURRENT[0])
    program = (
        "import sys; sys.modules['torch'] = None\n"
        "from shisen.export.onnx_runtime import OnnxModel\n"
        f"print(OnnxModel({str(out)!r}).translate({LINES[:2]!r})[1])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip("\n") == Translator.load(folder).translate(LINES[1], beam_size=1).text


def test_the_manifest_names_what_goes_from_graph_to_graph(export_of):
    import onnx

    _, out = export_of(TRANSFORMERS[0])
    details = json.loads((out / "shisen_export.json").read_text("utf-8"))["details"]
    encoder, step = (onnx.load(out / f"{name}.onnx") for name in ("encoder", "decoder_step"))
    passed = [*details["memory"], *details["state"]]
    assert [port.name for port in encoder.graph.input] == ["source"]
    assert [port.name for port in encoder.graph.output] == passed
    assert {port.name for port in step.graph.input} == {"previous", *passed}
    assert [port.name for port in step.graph.output] == [
        "logits",
        "attention",
        *(f"next_{name}" for name in details["state"]),
    ]
    axes = {
        port.name: [axis.dim_param or axis.dim_value for axis in port.type.tensor_type.shape.dim]
        for port in (*encoder.graph.input, *step.graph.input)
    }
    assert axes["source"] == axes["memory_mask"] == ["batch", "keys"]
    assert axes["memory_keys_1"] == ["batch", 4, "keys", 4]
    assert axes["state_values_0"] == ["batch", 4, "steps", 4]
    assert (details["padding"], details["begin"], details["end"]) == (PADDING, BEGIN, END)


@pytest.mark.slow
@pytest.mark.parametrize("settings", [RECURRENT[0], TRANSFORMERS[0]], ids=["recurrent", "transformer"])
def test_8_bit_matrices_change_logits_little(settings, export_of, tmp_path):
    folder, out = export_of(settings)
    export_model(folder, "onnx", tmp_path / "small", "int8")
    whole, small = (OnnxModel(name, threads=1) for name in (out, tmp_path / "small"))
    source = np.array([[4, 5, 6, 7, END], [8, END, PADDING, PADDING, PADDING]])
    for model in (whole, small):
        memory, state = model.encode(source)
        logits = model.step(np.array([BEGIN, BEGIN]), memory, state).logits
        if model is whole:
            expected = logits
    assert 0 < np.abs(logits - expected).max() < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("config", "word"),
    [
        (RecurrentConfig(attention="local-p"), "model.attention local-p"),
        (RecurrentConfig(attention_function="sparsemax"), "model.attention_function sparsemax"),
        (TransformerConfig(encoder_pattern="window(2)"), "model.encoder_pattern"),
    ],
)
def test_what_the_graphs_do_not_hold_is_named(config, word):
    (reason,) = unsupported(config)
    assert reason.startswith(word)


def test_another_export_is_not_run(tmp_path):
    with pytest.raises(UserError, match=r"shisen_export\.json cannot be read"):
        OnnxModel(save_small_model(tmp_path / "model"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("decoder_step.onnx", b"truncated", r"decoder_step\.onnx cannot be loaded by onnxruntime"),
        ("encoder.onnx", None, r"encoder\.onnx cannot be loaded by onnxruntime"),
        ("shisen_export.json", "details", r"shisen_export\.json is no manifest .* \(memory is None\)"),
    ],
)
def test_a_damaged_export_is_one_line(export_of, tmp_path, name, content, message):
    _, out = export_of(RECURRENT[0])
    damaged = tmp_path / "damaged"
    shutil.copytree(out, damaged)
    if content == "details":
        manifest = json.loads((damaged / name).read_text("utf-8"))
        del manifest["details"]["memory"]
        (damaged / name).write_text(json.dumps(manifest), "utf-8")
    elif content is None:
        (damaged / name).unlink()
    else:
        (damaged / name).write_bytes(content)
    with pytest.raises(UserError, match=message):
        OnnxModel(damaged)


def test_one_string_is_not_taken_for_a_list_of_letters(export_of):
    _, out = export_of(RECURRENT[0])
    with pytest.raises(UserError, match="wants a list of sentences"):
        OnnxModel(out).translate(LINES[0])
