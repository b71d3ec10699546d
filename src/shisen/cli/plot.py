"""The verb ``plot``: attention maps and learning curves as pictures."""

from __future__ import annotations

import contextlib
import sys
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import typer

from shisen.adapters.loading import is_huggingface
from shisen.errors import UserError

if TYPE_CHECKING:
    from shisen.inspection.attention_map import AttentionMap
    from shisen.plotting.style import Figure

app = typer.Typer(help="Draw attention and learning curves.", no_args_is_help=True)

_OUT = typer.Option(..., "--out", "-o", help="The picture to write: .png, .svg or .pdf.")
_DPI = typer.Option(200, "--dpi", min=10, max=2400, help="Pixels per inch of a PNG.")


@app.command("attention")
def plot_attention(
    what: list[str] = typer.Argument(
        ...,
        metavar="RUN… SENTENCE",
        help="Model directories and the sentence that they translate, or that a language model reads. In "
        "place of a model may stand hf: and the directory or id of a Hugging Face model (one of images is "
        "given the path of one), or a file of attention (.attn.safetensors, .json, .npy, .marian, .pharaoh); "
        "with such files alone there is no sentence.",
    ),
    out: Path = _OUT,
    translation: Optional[str] = typer.Option(  # noqa: UP045 (typer reads this in Python 3.10 too)
        None, "--translation", help="Draw the attention for this translation. Without: the model's own."
    ),
    kind: Optional[str] = typer.Option(  # noqa: UP045
        None,
        "--kind",
        help="cross (target looks at source), or of a Transformer encoder or decoder (a side looks at "
        "itself). Default: cross; of a language model decoder; of a file whatever comes first.",
    ),
    layer: Optional[int] = typer.Option(  # noqa: UP045
        None, "--layer", help="One layer, counted from 0. Without: the mean over the layers."
    ),
    head: Optional[int] = typer.Option(  # noqa: UP045
        None, "--head", help="One head, counted from 0. Without: the mean over the heads."
    ),
    grid: bool = typer.Option(False, "--grid", help="Every layer and head by itself, not their mean."),
    words: bool = typer.Option(False, "--words", help="Merge the pieces of a word into one row or column."),
    special_tokens: bool = typer.Option(
        True, "--special-tokens/--no-special-tokens", help="Whether to draw tokens such as </s>."
    ),
    bars: Optional[int] = typer.Option(  # noqa: UP045
        None,
        "--bars",
        metavar="STEP",
        help="Draw the weights of one produced token, counted from 0, as bars.",
    ),
    number: int = typer.Option(
        0, "--number", min=0, help="Which map of a file that holds several (of that --kind), counted from 0."
    ),
    maximum: Optional[float] = typer.Option(  # noqa: UP045
        None, "--maximum", help="The weight at the end of the scale. Without: fitted to what is drawn."
    ),
    language: str = typer.Option("en", "--language", help="Of the names of the axes: en or ja."),
    dpi: int = _DPI,
) -> None:
    """Draw which words each word looked at; several runs side by side for one sentence.

    Of several layers and heads the mean is drawn, unless one is named; the title says so.
    """
    from shisen.inspection.attention_map import KINDS
    from shisen.plotting.style import image_format, save_figure

    image_format(out)  # before a model is loaded for nothing
    if kind is not None and kind not in KINDS:
        raise UserError(f"--kind is one of {', '.join(KINDS)}, not {kind!r}")
    runs, sentence = _split_arguments(what)
    if grid and (len(runs) > 1 or bars is not None):
        raise UserError(
            "--grid draws the layers and heads of one run; leave it out, or --bars and other runs"
        )
    _check_options_are_read(runs, sentence, translation, number)
    maps: dict[str, AttentionMap] = {}
    titles: dict[str, str] = {}
    for name, run in zip(_names_of(runs), runs, strict=True):
        attention_map = _attention_of(run, sentence, translation, number, kind)
        titles[name] = _title_of(attention_map, layer, head, language)
        if layer is not None:
            attention_map = attention_map.layer(layer)
        if head is not None:
            attention_map = attention_map.head(head)
        if not grid:
            attention_map = attention_map.mean_layers().mean_heads()
        if words:
            attention_map = attention_map.merge_words()
        if not special_tokens:
            attention_map = attention_map.without_special_tokens()
        maps[name] = attention_map
    with _warnings_in_one_line():
        save_figure(_figure(maps, bars, titles, language=language, maximum=maximum), out, dpi)


@app.command("curves")
def plot_curves(
    runs: list[Path] = typer.Argument(..., metavar="RUN…", help="Directories that `shisen train` wrote."),
    out: Path = _OUT,
    x: str = typer.Option("step", "--x", help="What runs along the bottom: step, epoch or seconds."),
    dpi: int = _DPI,
) -> None:
    """Draw the learning curves of one or more runs: loss, BLEU, speed, gradient norm, learning rate."""
    from shisen.plotting import curves
    from shisen.plotting.style import image_format, save_figure

    image_format(out)
    records = {name: curves.read_training_log(run) for name, run in zip(_names_of(runs), runs, strict=True)}
    with _warnings_in_one_line():
        save_figure(curves.plot_curves(records, x=x), out, dpi)


def _figure(
    maps: dict[str, AttentionMap], bars: int | None, titles: dict[str, str], **options: Any
) -> Figure:
    """The picture that was asked for; above each map its name, where there are several, and its title."""
    from shisen.plotting import plot_bars, plot_comparison, plot_heatmap

    named = {
        ": ".join([name] * (len(maps) > 1) + [titles[name]] * bool(titles[name])): attention_map
        for name, attention_map in maps.items()
    }
    if bars is not None:
        return plot_bars(named, bars, **options)
    if len(maps) > 1:
        return plot_comparison(named, **options)
    title, attention_map = next(iter(named.items()))
    return plot_heatmap(attention_map, title=title, **options)


def _title_of(attention_map: AttentionMap, layer: int | None, head: int | None, language: str) -> str:
    """What is drawn of a map of several layers or heads, or of a side that looks at itself."""
    from shisen.plotting.weights import KIND_NAMES, PART_NAMES, axis_names

    axis_names(attention_map.kind, language)  # refuses a language that there is not
    names = PART_NAMES[language]
    layers, heads = attention_map.layers, attention_map.heads
    parts = [names["layer"].format(layer)] * (layers > 1 and layer is not None)
    parts += [names["head"].format(head)] * (heads > 1 and head is not None)
    averaged = (1 if layer is not None else layers) * (1 if head is not None else heads)
    if averaged > 1:
        parts.append(names["layers" if head is not None or heads == 1 else "heads"].format(averaged))
    is_plain = attention_map.kind == "cross" and not parts
    return "" if is_plain else ", ".join([KIND_NAMES[language][attention_map.kind], *parts])


def _split_arguments(arguments: list[str]) -> tuple[list[Path], str]:
    """The runs, and the sentence: the last argument, unless all are files of saved attention."""
    if all(_is_saved_attention(argument) for argument in arguments):
        return [Path(argument) for argument in arguments], ""
    *runs, sentence = arguments
    is_no_sentence = (Path(sentence) / "config.json").is_file() or _is_saved_attention(sentence)
    if not runs or is_no_sentence:
        raise UserError(
            "a sentence is missing: shisen plot attention MODEL_DIR [MODEL_DIR …] SENTENCE --out FILE.png"
        )
    if not sentence.strip():
        raise UserError("the sentence is empty: there is nothing to attend to")
    return [Path(run) for run in runs], sentence


def _check_options_are_read(runs: list[Path], sentence: str, translation: str | None, number: int) -> None:
    """Refuse what would change nothing: a sentence for saved attention alone, a number for models alone."""
    are_saved = [_is_saved_attention(run) for run in runs]
    if all(are_saved) and (sentence or translation is not None):
        what = "the sentence" if sentence else "--translation"
        raise UserError(f"{what} is for models; saved attention is drawn as it is: leave {what} out")
    if number and not any(are_saved):
        raise UserError("--number chooses a map of a file of attention; a model has one of each kind")


def _is_saved_attention(argument: str | Path) -> bool:
    from shisen.inspection.readers import is_map_file

    # A sentence may end in the name of a file, so that more than the ending is asked for.
    return str(argument).endswith(".safetensors") or (is_map_file(argument) and Path(argument).is_file())


def _attention_of(
    run: Path, sentence: str, translation: str | None, number: int, kind: str | None
) -> AttentionMap:
    """The attention of one run: read from its file, or of the sentence that the model handles now."""
    if _is_saved_attention(run):
        from shisen.inspection.readers import open_maps

        maps = [one for one in open_maps(run) if kind in (None, one.kind)]
        if number >= len(maps):
            of_kind = "" if kind is None else f" of the kind {kind}"
            raise UserError(f"{run}: holds {len(maps)} attention maps{of_kind}; there is no number {number}")
        return maps[number]
    from shisen.data.lines import BadLine, check_characters
    from shisen.model_directory import family_of

    for text in (sentence, translation or ""):
        try:
            check_characters(text)
        except BadLine as error:
            raise UserError(f"the text to draw cannot be read: {error.detail}") from error
    if is_huggingface(run):
        from shisen.cli.huggingface import map_of_sentence

        return map_of_sentence(run, sentence, translation, kind)
    if family_of(run) == "language-model":
        return _attention_of_reading(run, sentence, translation, kind or "decoder")
    return _attention_of_translating(run, sentence, translation, kind or "cross")


def _attention_of_translating(run: Path, sentence: str, translation: str | None, kind: str) -> AttentionMap:
    from shisen.pipelines import Translator

    translator = Translator.load(run)
    translated = (
        translator.translate(sentence) if translation is None else translator.force(sentence, translation)
    )
    if not translated.attention:
        raise UserError(f"{run}: its tokenizer finds no token in the sentence: there is nothing to attend to")
    return _of_kind(run, translated.attention, kind)


def _attention_of_reading(run: Path, sentence: str, translation: str | None, kind: str) -> AttentionMap:
    from shisen.generation import TextGenerator

    if translation is not None:
        raise UserError(f"{run}: a language model, which reads one sentence; leave --translation out")
    return _of_kind(run, TextGenerator.load(run).force(sentence).attention, kind)


def _of_kind(run: Path, maps: Mapping[str, AttentionMap], kind: str) -> AttentionMap:
    if kind not in maps:
        raise UserError(f"{run}: has no attention of the kind {kind}; it has {', '.join(maps)}")
    return maps[kind]


def _names_of(runs: list[Path]) -> list[str]:
    """The shortest endings of the paths that tell them apart; a path named twice is counted."""
    plain = [str(run.absolute()).removesuffix(".safetensors").removesuffix(".attn") for run in runs]
    parts = [Path(path).parts for path in plain]
    names: list[str] = []
    for i, own in enumerate(parts):
        others = [other for other in parts if other != own]
        length = next(
            (n for n in range(1, len(own)) if all(other[-n:] != own[-n:] for other in others)), len(own)
        )
        name = str(Path(*own[-length:]))
        repeats = parts[:i].count(own)
        names.append(f"{name} ({repeats + 1})" if repeats else name)
    return names


@contextlib.contextmanager
def _warnings_in_one_line() -> Iterator[None]:
    """Show what the figure warns of (a missing glyph) as one line on standard error."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for warning in caught:
        print(f"shisen: warning: {warning.message}", file=sys.stderr)
