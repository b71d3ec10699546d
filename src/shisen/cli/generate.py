"""``shisen generate``: a language model goes on with prompts, one line of output for each."""

import sys
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from shisen.cli import common
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.generation import Generation
    from shisen.inspection.map_file import AttentionMapWriter


def generate(
    model: common.ModelDirectory,
    prompts: list[str] | None = typer.Argument(
        None,
        metavar="[PROMPT…|-]",
        help='Beginnings of texts; "" begins one anew. - or nothing: the lines of standard input.',
    ),
    max_length: int | None = typer.Option(
        None, min=1, help="Most tokens behind a prompt. Default: the model's setting, 100."
    ),
    min_length: int = typer.Option(0, min=0, help="Fewest tokens behind a prompt."),
    temperature: float | None = typer.Option(
        None, help="Below 1 sharper, above 1 flatter. Default: the model's setting, 1.0."
    ),
    top_k: int | None = typer.Option(
        None, min=0, help="Draw from the k likeliest tokens; 0: all. Default: the model's setting, 0."
    ),
    top_p: float | None = typer.Option(
        None, help="Draw from the likeliest tokens that make up p. Default: the model's setting, 1.0."
    ),
    seed: int | None = typer.Option(None, min=0, help="Other seeds, other draws. Default: 0."),
    samples: int = typer.Option(
        1,
        "--samples",
        "--n-best",
        min=1,
        help="Texts for each prompt, the best score first, with tabs between them (in JSON a list).",
    ),
    beam_size: int | None = typer.Option(
        None, min=1, help="Search for the likeliest text instead of drawing; 1 is greedy."
    ),
    length_penalty: float | None = typer.Option(
        None, min=0.0, help="More favours longer texts. Default: the model's setting, 1.0."
    ),
    no_repeat_ngram: int = typer.Option(0, min=0, help="No n-gram of this size comes twice. 0: any may."),
    forbid_unknown: bool = typer.Option(False, "--forbid-unknown", help="Never produce <unk>."),
    as_json: bool = typer.Option(
        False, "--json", help="A JSON object a line: tokens, score, log-probabilities, attention, model."
    ),
    attention: Path | None = typer.Option(
        None,
        metavar="FILE",
        help="Write the attention of all texts to one file (.attn.safetensors), which `shisen plot "
        "attention` draws and load_maps reads; each map knows the number of its prompt, its line.",
    ),
    batch_size: int = typer.Option(100, min=1, help="Texts made together."),
    max_prompt_length: int = typer.Option(1024, min=1, help="A prompt with more tokens is an error."),
    device: common.Device = "cpu",
) -> None:
    """Go on with text: a line of output for each prompt, in order, the prompt and what the model makes of it.

    Tokens are drawn by their probabilities, the same ones each time for the same seed. Lines of standard
    input are answered as they come.
    """
    drawing = {"temperature": temperature, "top_k": top_k, "top_p": top_p, "seed": seed}
    drawing_given = {name: value for name, value in drawing.items() if value is not None}
    if drawing_given and beam_size is not None:
        option = next(iter(drawing_given)).replace("_", "-")
        raise UserError(f"--{option} shapes what is drawn; with --beam-size nothing is")
    if beam_size is not None and samples > beam_size:
        raise UserError(f"--samples {samples} needs a --beam-size of at least {samples}")
    common.check_can_write(attention)
    chunks = _chunks(prompts or ["-"], 8 * batch_size)

    from shisen.generation import LongPromptError, TextGenerator

    generations = TextGenerator.load(model, device, max_prompt_length).generate_chunks(
        chunks,
        max_length=max_length,
        min_length=min_length,
        samples=samples,
        beam_size=beam_size,
        length_penalty=length_penalty,
        no_repeat_ngram=no_repeat_ngram,
        forbid_unknown=forbid_unknown,
        batch_size=batch_size,
        attention=as_json or attention is not None,
        **drawing_given,
    )
    with ExitStack() as opened:
        maps = opened.enter_context(_map_writer(attention)) if attention is not None else None
        try:
            for number, generation in enumerate(generations, start=1):
                line = generation.to_json() if as_json else _plain(generation)
                sys.stdout.buffer.write(line.encode() + b"\n")
                sys.stdout.buffer.flush()
                if maps is not None:
                    _add_map(maps, generation, number)
        except LongPromptError as error:
            place = f"prompt {error.number:,}" if prompts else f"standard input, line {error.number:,}"
            raise UserError(f"{place}: {error.detail}") from None


def _chunks(prompts: list[str], most: int) -> Iterable[Sequence[str]]:
    """The prompts that were given, checked, or the lines of standard input as they come."""
    from shisen.data.arriving_lines import arriving_lines
    from shisen.data.lines import BadLine, check_characters

    if prompts == ["-"]:
        return arriving_lines("-", most)
    for prompt in prompts:
        try:
            check_characters(prompt)
        except BadLine as error:
            raise UserError(f"the prompt cannot be read: {error.detail}") from error
    return [prompts]


def _plain(generation: "Generation") -> str:
    """The text, or all texts of a prompt with tabs between."""
    return "\t".join(one.text for one in generation.alternatives)


def _map_writer(path: Path) -> "AttentionMapWriter":
    from shisen.inspection.map_file import AttentionMapWriter

    return AttentionMapWriter(path)


def _add_map(maps: "AttentionMapWriter", generation: "Generation", line: int) -> None:
    """Append the attention of the best text."""
    import dataclasses

    attention_map = generation.attention["decoder"]
    maps.add(dataclasses.replace(attention_map, metadata={**attention_map.metadata, "line": line}))
