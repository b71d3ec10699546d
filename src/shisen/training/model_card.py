"""The model card: what the model is, what it learned from, how it was made and what was measured."""

import platform
import re
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from shisen import __version__
from shisen.models.config import LanguageModelConfig, ModelConfig
from shisen.training.config import Config
from shisen.training.config_file import dump_config
from shisen.training.state import RunState

_TRANSLATING = (
    "from shisen import Translator",
    "",
    'translation = Translator.load("PATH/TO/THIS/DIRECTORY").translate("…")',
    'print(translation.text, translation.attention["cross"])',
)
_CONTINUING = (
    "from shisen import TextGenerator",
    "",
    'generation = TextGenerator.load("PATH/TO/THIS/DIRECTORY").generate("…")',
    'print(generation.text, generation.attention["decoder"])',
)


@dataclass(frozen=True)
class CardFacts:
    """What a card tells beyond the configuration and the state of the run.

    Attributes:
        command: What was typed.
        parameters: How many numbers the model has.
        kept: Which parameters these are, in words.
        validation_loss: Theirs; None without a validation.
        bleu: Theirs, or None.
        bleu_sentences: How many pairs BLEU was computed from.
        signature: sacrebleu's record of how.
        training_pairs: Pairs learned from.
        dropped: Training pairs left out, by reason.
        skipped: Lines that could not be used, on both data sets.
        validation_pairs: Pairs measured on.
        vocabulary_sizes: Of the source and of the target.
        fingerprint: Of the model.
    """

    command: str
    parameters: int
    kept: str
    validation_loss: float | None
    bleu: float | None
    bleu_sentences: int
    signature: str | None
    training_pairs: int
    dropped: Mapping[str, int]
    skipped: int
    validation_pairs: int
    vocabulary_sizes: tuple[int, int]
    fingerprint: str


def model_card(config: Config, state: RunState, facts: CardFacts) -> str:
    """Return the card as Markdown with the YAML header of the Hugging Face Hub."""
    return "\n".join(
        [
            "---",
            yaml.safe_dump(_header(config), sort_keys=False, allow_unicode=True).rstrip(),
            "---",
            "",
            f"# {_title(config)}",
            "",
            f"A {_kind(config)} with {attention_in_words(config.model)}, "
            f"{facts.parameters:,} parameters, trained with shisen {__version__}. "
            f"Fingerprint `{facts.fingerprint}`.",
            "",
            "```python",
            *(_CONTINUING if config.is_one_text else _TRANSLATING),
            "```",
            "",
            "## What was measured",
            "",
            *_measured(config, state, facts),
            "",
            "## Data",
            "",
            *_data(config, state, facts),
            "",
            "## Training",
            "",
            *_training(config, state, facts),
            "",
            "The whole configuration:",
            "",
            *_fenced(dump_config(config), "yaml"),
            "",
        ]
    )


def _header(config: Config) -> dict[str, object]:
    tokenizer = config.data.tokenizer
    languages = [code for code in (tokenizer.source_language, tokenizer.target_language) if code]
    header: dict[str, object] = {"language": languages} if languages else {}
    task = "text-generation" if config.is_one_text else "translation"
    tags = [task, "attention", config.model.family, config.model.attention]
    return header | {"library_name": "shisen", "pipeline_tag": task, "tags": tags}


def _title(config: Config) -> str:
    tokenizer = config.data.tokenizer
    if config.is_one_text:
        language = f" of {tokenizer.source_language}" if tokenizer.source_language else ""
        return f"Language model{language} with {attention_in_words(config.model)}"
    direction = ""
    if tokenizer.source_language and tokenizer.target_language:
        direction = f" from {tokenizer.source_language} to {tokenizer.target_language}"
    return f"Translation{direction} with {attention_in_words(config.model)}"


def _kind(config: Config) -> str:
    """Return what the network is, as after "a"."""
    if isinstance(config.model, LanguageModelConfig):
        return f"decoder-only language model of {config.model.layers} layers"
    return f"{config.model.family} encoder-decoder"


def _rows(config: Config) -> str:
    """Return what the data are counted in."""
    return "lines" if config.is_one_text else "pairs"


def attention_in_words(model: ModelConfig) -> str:
    """Return the name of a model's attention, as after "with"."""
    return "no attention" if model.attention == "none" else f"{model.attention} attention"


def _measured(config: Config, state: RunState, facts: CardFacts) -> list[str]:
    if facts.validation_loss is None:
        is_early = facts.validation_pairs > 0
        why = f"there were no validation {_rows(config)}"
        why = "the run stopped before its first validation" if is_early else why
        return [f"Nothing: {why}. The parameters are {facts.kept}."]
    from math import exp

    rows = [
        "| measure | value | of |",
        "|---|---|---|",
        f"| cross-entropy per {'token' if config.is_one_text else 'target token'} | "
        f"{facts.validation_loss:.4f} | {facts.validation_pairs:,} validation {_rows(config)} |",
        f"| perplexity | {exp(min(facts.validation_loss, 700.0)):.2f} | the same |",
    ]
    if facts.bleu is not None:
        rows.append(f"| BLEU, greedy | {facts.bleu:.2f} | {facts.bleu_sentences:,} of the validation pairs |")
    lines = [
        *rows,
        "",
        f"The parameters are {facts.kept}, chosen by {config.training.metric.replace('_', ' ')}.",
    ]
    if facts.signature is not None:
        lines.append(f"sacrebleu's signature: `{facts.signature}`.")
    return lines


def _data(config: Config, state: RunState, facts: CardFacts) -> list[str]:
    dropped = "; ".join(f"{count:,} {reason}" for reason, count in facts.dropped.items())
    lines = [
        f"- training: {_code(config.data.train.describe())}, {facts.training_pairs:,} {_rows(config)}"
        + (f" (left out: {dropped})" if dropped else ""),
    ]
    if config.data.validation is not None:
        validation = _code(config.data.validation.describe())
        lines.append(f"- validation: {validation}, {facts.validation_pairs:,} {_rows(config)}")
    if facts.skipped:
        lines.append(f"- lines that could not be used and were skipped: {facts.skipped:,}")
    source, target = facts.vocabulary_sizes
    kind = config.data.tokenizer.kind
    entries = f"{target:,}" if config.is_one_text else f"{source:,} source and {target:,} target"
    lines.append(f"- vocabulary ({kind}): {entries} entries")
    lines.append(f"- fingerprint of the tokenised training {_rows(config)}: `{state.data_fingerprint}`")
    return lines


def _training(config: Config, state: RunState, facts: CardFacts) -> list[str]:
    import lightning
    import torch

    minutes = state.seconds / 60
    ended = f"ended by {state.finished_by}" if state.finished_by else "interrupted; it can be resumed"
    return [
        f"{state.step:,} updates in {state.epoch:,} whole epochs, {minutes:.1f} minutes with validations; "
        f"{ended}. Seed {config.training.seed}, {state.precision}, {state.device}, "
        f"{state.threads} CPU thread{'s' * (state.threads > 1)}.",
        "",
        *_fenced(facts.command, "sh"),
        "",
        f"Python {platform.python_version()}, torch {torch.__version__}, lightning {lightning.__version__}, "
        f"{platform.machine()}.",
    ]


def _code(text: str) -> str:
    """Return text as inline code, whatever backticks it holds."""
    fence = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    padding = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{fence}{padding}{text}{padding}{fence}"


def _fenced(text: str, language: str) -> list[str]:
    """Return text as a block of code, whatever fences it holds."""
    fence = "`" * max(3, max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    return [f"{fence}{language}", text.rstrip("\n"), fence]
