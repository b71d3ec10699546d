"""Everything that is measured of one sentence, decision by decision."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from shisen.data.vocabulary import BEGIN
from shisen.decoding.interface import DecodableModel
from shisen.inspection.faithfulness.agreement import kendall, permuted_rows, spearman, top_overlap
from shisen.inspection.faithfulness.attributions import gradients, integrated_gradients, leave_one_out
from shisen.inspection.faithfulness.counterfactual import (
    LayersAndHeads,
    adversarial_weights,
    permuted_weights,
)
from shisen.inspection.faithfulness.distances import jensen_shannon, total_variation
from shisen.inspection.faithfulness.edits import UniformWeights, decision_with
from shisen.inspection.faithfulness.erasure import erasure_curves, order_by, without_each
from shisen.inspection.faithfulness.forward import ForcedSteps, forced_steps
from shisen.inspection.faithfulness.options import FaithfulnessOptions

ATTENTION, GRADIENTS, CHANCE = "attention", "gradient-input", "chance"
INTEGRATED = "integrated-gradients"
"""Whose ranking of the tokens a measurement is of; other attributions go by their own names."""

PERMUTED_AGREEMENTS = 100  # permutations of a row, for the agreement that chance brings


@dataclass(frozen=True)
class SentenceMeasurements:
    """What was measured of one sentence.

    Attributes:
        decisions: How many tokens were produced.
        values: By name, the mean over the decisions.
        curves: By name, the mean over the decisions for each share of erased tokens.
    """

    decisions: int
    values: dict[str, float]
    curves: dict[str, np.ndarray]


@dataclass(frozen=True, eq=False)
class _Sentence:
    """A sentence with what all measurements start from; tensors have a batch of one."""

    model: DecodableModel
    source: Tensor  # [1, keys]
    target: Tensor  # [1, read]
    forced: ForcedSteps
    decided: Tensor  # [steps]
    erasable: int  # source tokens that are ranked and erased, from the first on
    where: LayersAndHeads
    attention: np.ndarray  # [steps, erasable]: the explanation

    @property
    def probabilities(self) -> Tensor:
        """[steps, vocabulary]."""
        return self.forced.log_probabilities[0].exp()


def measure_sentence(
    model: DecodableModel,
    source: list[int],
    target: list[int],
    options: FaithfulnessOptions,
    number: int,
    *,
    with_integrated_gradients: bool = True,
    other: DecodableModel | None = None,
    device: torch.device | None = None,
) -> SentenceMeasurements | None:
    """Run every test on one sentence.

    Args:
        model: Any model that takes steps and edits, in evaluation mode.
        source: The source ids with ``</s>``.
        target: The ids that are read, ``</s>`` among them.
        options: What is looked at, and how often is drawn.
        number: The sentence's number, for the draws.
        with_integrated_gradients: Whether they are among the attributions.
        other: The same model from another seed.
        device: Where the model is.

    Returns:
        The measurements, or None of a sentence with fewer than two tokens to rank.
    """
    erasable = len(source) if options.includes_end else len(source) - 1
    if erasable < 2:
        return None
    sentence = _read(model, source, target, erasable, options, device)
    generator = np.random.default_rng([options.seed, number])
    torch_generator = torch.Generator().manual_seed(int(generator.integers(2**31)))
    importances = _importances(sentence, options, with_integrated_gradients)
    values = _agreement(importances, options, generator)
    values |= {"integrated-gradients.error.share": importances.pop("delta")} if "delta" in importances else {}
    erased, curves = _token_erasure(sentence, importances, options, generator)
    values |= erased
    values |= _other_weights(sentence, importances, options, torch_generator)
    values |= _adversary(sentence, options, generator, torch_generator, other)
    values |= _uniform(sentence)
    means = {name: float(np.mean(value)) for name, value in values.items()}
    return SentenceMeasurements(len(sentence.decided), means, curves)


def _read(
    model: DecodableModel,
    source: list[int],
    target: list[int],
    erasable: int,
    options: FaithfulnessOptions,
    device: torch.device | None,
) -> _Sentence:
    """The model's own reading of a sentence; a decision is the likeliest token at its step."""
    ids = torch.tensor([source], device=device)
    read = torch.tensor([[BEGIN, *target]], device=device)
    with torch.no_grad():
        forced = forced_steps(model, ids, torch.ones_like(ids, dtype=torch.bool), read)
    where = LayersAndHeads(options.layer, options.head)
    attention = _numbers(where.explanation(forced.weights[0]))[:, :erasable]
    decided = forced.log_probabilities[0].argmax(-1)
    return _Sentence(model, ids, read, forced, decided, erasable, where, attention)


def _numbers(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def _importances(
    sentence: _Sentence, options: FaithfulnessOptions, with_integrated_gradients: bool
) -> dict[str, np.ndarray]:
    """What each explanation says of each source token, [steps, erasable].

    ``delta`` is the error of the integrated gradients as a share of what they add up to, [1].
    """
    given = (sentence.model, sentence.source[0], sentence.target[0])
    by_gradient = gradients(*given, sentence.decided)
    found = {
        ATTENTION: sentence.attention,
        "gradient": _numbers(by_gradient.gradient)[:, : sentence.erasable],
        GRADIENTS: _numbers(by_gradient.gradient_input)[:, : sentence.erasable],
        "leave-one-out": _numbers(leave_one_out(*given, sentence.probabilities, sentence.erasable)),
    }
    if with_integrated_gradients:
        integrated = integrated_gradients(*given, sentence.decided, options.integration_steps)
        found[INTEGRATED] = _numbers(integrated.attributions)[:, : sentence.erasable]
        deltas = _numbers(integrated.deltas)
        changes = np.abs(_numbers(integrated.attributions).sum(1) - deltas)  # |F(x) - F(u)|
        found["delta"] = np.abs(deltas).sum(keepdims=True) / max(changes.sum(), np.finfo(float).tiny)
    return found


def _agreement(
    importances: dict[str, np.ndarray], options: FaithfulnessOptions, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """How alike attention and every other explanation rank the tokens; signs are left out."""
    attention = importances[ATTENTION]
    permuted = permuted_rows(attention, PERMUTED_AGREEMENTS, generator)
    values = {}
    for name, importance in importances.items():
        if name in (ATTENTION, "delta"):
            continue
        reference = np.abs(importance)
        sides = {ATTENTION: attention, CHANCE: permuted}
        for rival in (GRADIENTS, INTEGRATED):
            if rival != name and rival in importances:
                sides[rival] = np.abs(importances[rival])
        for side, rows in sides.items():
            against = np.broadcast_to(reference, rows.shape)
            measures = {
                "kendall": kendall(rows, against),
                "spearman": spearman(rows, against),
                "overlap": top_overlap(rows, against, options.top),
            }
            for measure, value in measures.items():
                values[f"agreement-{name}.{measure}.{side}"] = value
    return values


def _token_erasure(
    sentence: _Sentence,
    importances: dict[str, np.ndarray],
    options: FaithfulnessOptions,
    generator: np.random.Generator,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Comprehensiveness and sufficiency by every order: AOPC of each decision, and the mean curves."""
    shape = sentence.attention.shape
    orders = {name: order_by(rows, generator) for name, rows in importances.items()}
    draws = [np.broadcast_to(generator.permutation(shape[1]), shape) for _ in range(options.random_orders)]
    by_chance = {f"{CHANCE}-{draw}": order for draw, order in enumerate(draws)}
    wanted = sentence.probabilities.gather(-1, sentence.decided[:, None])[:, 0]
    found: dict[str, Any] = erasure_curves(
        sentence.model,
        sentence.source[0],
        sentence.target[0],
        sentence.decided,
        _numbers(wanted),
        orders | by_chance,
        options.fractions,
    )
    values, curves = {}, {}
    for measure in ("comprehensiveness", "sufficiency"):
        drops = {name: getattr(found[name], measure) for name in orders}
        drops[CHANCE] = np.mean([getattr(found[name], measure) for name in by_chance], axis=0)
        for name, drop in drops.items():  # [steps, fractions]
            values[f"{measure}.aopc.{name}"] = drop.mean(1)
            curves[f"{measure}.{name}"] = drop.mean(0)
    return values, curves


@torch.no_grad()
def _other_weights(
    sentence: _Sentence,
    importances: dict[str, np.ndarray],
    options: FaithfulnessOptions,
    generator: torch.Generator,
) -> dict[str, np.ndarray]:
    """Each weight erased in turn, and permuted weights: what they do to every decision."""
    erasable, where = sentence.erasable, sentence.where
    rows: list[dict[str, float]] = []
    for step in range(len(sentence.decided)):
        weights = sentence.forced.weights[0, :, :, step]  # [layers, heads, keys]
        others = [without_each(weights, erasable, True), without_each(weights, erasable, False)]
        others.append(permuted_weights(weights, options.permutations, generator))
        variants = where.replaced(weights[:, :, None], torch.cat(others, 2))
        output = decision_with(sentence.model, sentence.source, sentence.target, sentence.forced, step)(
            variants
        )
        before = sentence.probabilities[step]
        is_flipped = _numbers(output.argmax(-1) != sentence.decided[step])
        moved = {"output": _numbers(jensen_shannon(output, before)), "flip": is_flipped}
        found = {
            "permutation.output.attention": float(total_variation(output, before)[2 * erasable :].median()),
            "permutation.flip.attention": float(is_flipped[2 * erasable :].mean()),
        }
        chosen = {"least": sentence.attention[step].argmin()}
        for name in (ATTENTION, GRADIENTS, INTEGRATED):
            if name in importances:
                chosen[name] = np.abs(importances[name][step]).argmax()
        for test, start in (("weight-erasure", 0), ("weight-erasure-raw", erasable)):
            for measure, numbers in moved.items():
                numbers = numbers[start : start + erasable]
                found |= {f"{test}.{measure}.{name}": numbers[place] for name, place in chosen.items()}
                found[f"{test}.{measure}.{CHANCE}"] = np.delete(numbers, chosen[ATTENTION]).mean()
        rows.append(found)
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def _adversary(
    sentence: _Sentence,
    options: FaithfulnessOptions,
    generator: np.random.Generator,
    torch_generator: torch.Generator,
    other: DecodableModel | None,
) -> dict[str, np.ndarray]:
    """How far the explanation can be moved while the output stays; beside permutations and another seed."""
    steps = len(sentence.decided)
    chosen = sorted(generator.permutation(steps)[: options.adversarial_decisions].tolist())
    if not chosen:
        return {}
    explanation = sentence.where.explanation(sentence.forced.weights[0])  # [steps, keys]
    values: dict[str, list[float]] = {"attention": [], "chance": [], "moved": []}
    for step in chosen:
        weights = sentence.forced.weights[0, :, :, step]
        decide = decision_with(sentence.model, sentence.source, sentence.target, sentence.forced, step)
        found = adversarial_weights(
            decide, weights, sentence.where, options.bound, options.adversarial_steps, torch_generator
        )
        permuted = permuted_weights(weights, options.permutations, torch_generator)
        rows = sentence.where.explanation(permuted)
        values["attention"].append(found.divergence)
        values["moved"].append(found.moved)
        values["chance"].append(float(jensen_shannon(rows, explanation[step]).mean()))
    named = {f"adversary.weights.{name}": np.array(found) for name, found in values.items()}
    if other is not None:
        with torch.no_grad():
            mask = torch.ones_like(sentence.source, dtype=torch.bool)
            theirs = forced_steps(other, sentence.source, mask, sentence.target).weights[0]
        rows = sentence.where.explanation(theirs)
        named["adversary.weights.seed"] = _numbers(jensen_shannon(rows, explanation))[chosen]
    return named


@torch.no_grad()
def _uniform(sentence: _Sentence) -> dict[str, np.ndarray]:
    """What becomes of the decisions, and of the translation's probability, when all weights are equal."""
    mask = torch.ones_like(sentence.source, dtype=torch.bool)
    edit = UniformWeights(sentence.where)
    uniform = forced_steps(sentence.model, sentence.source, mask, sentence.target, edit)
    logs = uniform.log_probabilities[0]
    read = sentence.target[0, 1:, None]
    lost = (sentence.forced.log_probabilities[0] - logs).gather(-1, read)[:, 0]
    return {
        "uniform.output.attention": _numbers(total_variation(logs.exp(), sentence.probabilities)),
        "uniform.flip.attention": _numbers(logs.argmax(-1) != sentence.decided),
        "uniform.lost.attention": _numbers(lost),
    }
