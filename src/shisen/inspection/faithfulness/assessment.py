"""Run the tests of faithfulness over many sentences, and gather what they found in a report."""

from __future__ import annotations

import importlib.util
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from shisen.data.vocabulary import BEGIN, END
from shisen.decoding.greedy_search import greedy
from shisen.decoding.interface import DecodableModel
from shisen.errors import UserError
from shisen.inspection.faithfulness.comparisons import compare_all
from shisen.inspection.faithfulness.forward import cross_weights, padded
from shisen.inspection.faithfulness.measurement import SentenceMeasurements, measure_sentence
from shisen.inspection.faithfulness.options import FaithfulnessOptions
from shisen.inspection.faithfulness.report import FaithfulnessReport

Progress = Callable[[int, int], None]
"""Called with how many sentences are done, and how many there are."""

_GREEDY_TOGETHER = 50


@runtime_checkable
class Translates(Protocol):
    """What is asked of a translator, `shisen.Translator` for one: its network and its tokenizers."""

    source_tokenizer: Any
    target_tokenizer: Any
    fingerprint: str

    @property
    def model(self) -> DecodableModel:
        """The network."""


def assess_faithfulness(
    translator: Translates,
    pairs_or_texts: Sequence[str] | Sequence[tuple[str, str]],
    options: FaithfulnessOptions | None = None,
    *,
    other: Translates | None = None,
    progress: Progress | None = None,
) -> FaithfulnessReport:
    """Test whether the cross-attention of a model explains its decisions.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch.
        pairs_or_texts: Source sentences, which the model translates itself, greedily; or (source,
            translation) pairs, whose translation the model is taken through. Either way a decision is the
            token that the model itself holds to be the likeliest next one.
        options: What is looked at, and how often is drawn.
        other: The same model trained from another seed: how far apart the attention of the two is.
        progress: Called after every sentence.

    Raises:
        UserError: There is nothing to test, the model has no cross-attention, or the two models do not have
            the same vocabularies.
    """
    options = options or FaithfulnessOptions()
    if other is not None:
        _check_vocabularies(translator, other)
    given = list(pairs_or_texts)
    texts = [entry if isinstance(entry, str) else entry[0] for entry in given]
    sources = [[*ids, END] for ids in translator.source_tokenizer.encode_batch(texts)]
    is_own = all(isinstance(entry, str) for entry in given)
    if is_own:
        # Those that are left out need no translation, so more are looked at only where more are wanted.
        sources = [source for source in sources if len(source) <= options.longest + 1]
        left_out = len(texts) - len(sources)
        sources = sources if options.sentences is None else sources[: options.sentences]
        targets = own_translations(translator.model, sources)
    else:
        left_out = 0
        translations = [entry[1] for entry in given]
        targets = [[*ids, END] for ids in translator.target_tokenizer.encode_batch(translations)]
    report = assess_decisions(
        translator.model,
        list(zip(sources, targets, strict=True)),
        options,
        other=None if other is None else other.model,
        progress=progress,
    )
    return report.about(translator.fingerprint, is_own, left_out)


def assess_decisions(
    model: DecodableModel,
    pairs: Sequence[tuple[Sequence[int], Sequence[int]]],
    options: FaithfulnessOptions | None = None,
    *,
    other: DecodableModel | None = None,
    progress: Progress | None = None,
) -> FaithfulnessReport:
    """Test a model on pairs of ids; otherwise as `assess_faithfulness`.

    Args:
        model: Any model that takes steps and edits, in evaluation mode.
        pairs: The ids of a source sentence and of what is read of its translation, ``</s>`` with both.
        options: What is looked at, and how often is drawn.
        other: The same model from another seed.
        progress: Called after every sentence.
    """
    options = options or FaithfulnessOptions()
    longest = options.longest + 1  # with </s>
    short = [pair for pair in pairs if max(map(len, pair)) <= longest]
    chosen = short if options.sentences is None else short[: options.sentences]
    if not chosen:
        raise UserError(
            f"there is no sentence of {options.longest} tokens or fewer to test; give some, or raise longest"
        )
    _check_takes_edits(model)
    started = time.perf_counter()
    device = _device_of(model)
    layers, heads = _layers_and_heads(model, chosen[0], device)
    _check_chosen(options, layers, heads)
    has_captum = importlib.util.find_spec("captum") is not None
    found: list[SentenceMeasurements] = []
    for number, (source, target) in enumerate(chosen):
        measured = measure_sentence(
            model,
            list(source),
            list(target),
            options,
            number,
            with_integrated_gradients=has_captum,
            other=other,
            device=device,
        )
        if measured is not None:
            found.append(measured)
        if progress is not None:
            progress(number + 1, len(chosen))
    if not found:
        raise UserError("no sentence has two source tokens or more, so there is no ranking to test")
    measurements = _table([sentence.values for sentence in found])
    return FaithfulnessReport(
        options=options,
        sentences=len(found),
        decisions=sum(sentence.decisions for sentence in found),
        too_long=len(pairs) - len(short),
        too_short=len(chosen) - len(found),
        layers=layers,
        heads=heads,
        measurements=measurements,
        curves=_table([sentence.curves for sentence in found]),
        results=compare_all(measurements, options),
        seconds=time.perf_counter() - started,
        has_integrated_gradients=has_captum,
    )


def own_translations(model: DecodableModel, sources: Sequence[Sequence[int]]) -> list[list[int]]:
    """What the model makes of each source, taking the likeliest token at every step, ``</s>`` at the end."""
    device = _device_of(model)
    found = []
    for start in range(0, len(sources), _GREEDY_TOGETHER):
        source, mask = padded(sources[start : start + _GREEDY_TOGETHER], device)
        found += [list(hypothesis.ids) for hypothesis in greedy(model, source, mask)]
    return found


def _device_of(model: DecodableModel) -> torch.device:
    parameters = model.parameters() if isinstance(model, nn.Module) else iter(())
    return next((parameter.device for parameter in parameters), torch.device("cpu"))


@torch.no_grad()
def _layers_and_heads(
    model: DecodableModel, pair: tuple[Sequence[int], Sequence[int]], device: torch.device
) -> tuple[int, int]:
    source, mask = padded([pair[0]], device)
    memory = model.encode(source, mask, True)
    output = model.step(torch.full_like(source[:, :1], BEGIN), model.initial_state(memory), memory)
    _, _, layers, heads, _ = cross_weights(output.attention).shape
    return layers, heads


def _check_takes_edits(model: DecodableModel) -> None:
    if "edit" not in inspect.signature(model.encode).parameters:
        raise UserError(
            f"the attention of {type(model).__name__} cannot be changed from outside (its encode takes no "
            "edit), so other weights cannot be tested"
        )


def _check_chosen(options: FaithfulnessOptions, layers: int, heads: int) -> None:
    for name, chosen, there_are in (("layer", options.layer, layers), ("head", options.head, heads)):
        if chosen is not None and chosen >= there_are:
            raise UserError(f"{name} is {chosen}; the model has {there_are}, counted from 0")


def _check_vocabularies(translator: Translates, other: Translates) -> None:
    for side in ("source_tokenizer", "target_tokenizer"):
        if getattr(translator, side).fingerprint != getattr(other, side).fingerprint:
            raise UserError(
                f"the two models do not have the same {side.replace('_', ' ')}; the other one has to be "
                "the same model trained from another seed"
            )


def _table(rows: Sequence[dict[str, Any]]) -> dict[str, np.ndarray]:
    """By name, the values of all sentences; NaN where one has none."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    return {name: np.array([row.get(name, np.nan) for row in rows], dtype=float) for name in names}
