"""``shisen export``: a trained model in the form of another program."""

from enum import Enum
from pathlib import Path

import typer

from shisen.cli import common


class ExportTarget(str, Enum):
    """What a model can be exported to."""

    ctranslate2 = "ctranslate2"
    onnx = "onnx"
    hf = "hf"


class ExportQuantization(str, Enum):
    """The formats of exported parameters."""

    float32 = "float32"
    float16 = "float16"
    bfloat16 = "bfloat16"
    int8 = "int8"


def export(
    model: common.ModelDirectory,
    target: ExportTarget = typer.Option(
        ...,
        "--to",
        help="ctranslate2: a fast engine, which `shisen translate` runs too; onnx: graphs for onnxruntime; "
        "hf: a directory that transformers loads.",
    ),
    out: Path = typer.Option(..., "--out", metavar="DIR", help="A new folder for the files."),
    quantization: ExportQuantization = typer.Option(
        ExportQuantization.float32, help="The format of the parameters, where the target has it."
    ),
) -> None:
    """Write a model in the form of another program, which then computes the same.

    What the other program cannot compute is refused and named. DIR holds the tokenizers too.
    """
    from shisen.export.exporting import export_model

    notes = export_model(model, target.value, out, quantization.value)
    for note in notes:
        print(note)
    size = sum(file.stat().st_size for file in out.rglob("*") if file.is_file())
    print(f"{out}: {target.value}, {quantization.value}, {size / 1e6:,.1f} MB")
