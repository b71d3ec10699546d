"""Which heads a translation model needs: their importance, and what is left when the others are cut.

Two measures, over sentence pairs (x, y) with the loss L = -Σ_t log p(y_t | y_<t, x), every head's part of the
context being multiplied by ξ_h = 1:

    gradient    I_h = mean over sentences of |∂L / ∂ξ_h|                (Michel et al. 2019, equation 2)
    ablation    I_h = L with ξ_h = 0, less L, per target token in nats  (ibid., section 3.2, of BLEU there)

(Michel, Levy and Neubig, "Are sixteen heads really better than one?", NeurIPS 2019,
https://arxiv.org/abs/1905.10650.) Gradients take one pass forwards and backwards for all heads together;
ablation takes a pass for each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int
from torch import Tensor, nn

from shisen.data.vocabulary import BEGIN, END, PADDING
from shisen.decoding.interface import DecodableModel
from shisen.errors import UserError
from shisen.inspection.interventions import Intervention, head_mask
from shisen.models.attention_edit import AttentionPlace

Progress = Callable[[int, int], None]
Pairs = Sequence[tuple[str, str]]
Masks = Mapping[str, Float[Tensor, "layers batch heads"]]

_TOKENS_TOGETHER = 2048  # target tokens of a batch, with padding


class Head(NamedTuple):
    """One head of a model."""

    kind: str
    layer: int
    head: int


@runtime_checkable
class Translates(Protocol):
    """What is asked of a translator, `shisen.Translator` for one."""

    source_tokenizer: Any
    target_tokenizer: Any

    @property
    def model(self) -> DecodableModel:
        """The network."""

    def translate(self, text: Any, **options: Any) -> Any:
        """Translate texts, with `intervention`."""


@dataclass(frozen=True, eq=False)
class HeadImportance:
    """How much a model needs each of its heads.

    Attributes:
        method: "gradient" or "ablation"; see the head of this module.
        scores: By kind of attention.
        sentences: How many pairs were read.
        tokens: How many target tokens they have, ``</s>`` included.
    """

    method: Literal["gradient", "ablation"]
    scores: Mapping[str, Float64[np.ndarray, "layers heads"]]
    sentences: int
    tokens: int

    def normalized(self) -> HeadImportance:
        """Scores divided by the root of the sum of squares of their layer, as the paper has them for pruning.

        Layers see gradients of different sizes (Molchanov et al. 2017).
        """
        scores = {
            kind: scores / np.maximum(np.linalg.norm(scores, axis=1, keepdims=True), np.finfo(float).tiny)
            for kind, scores in self.scores.items()
        }
        return HeadImportance(self.method, scores, self.sentences, self.tokens)

    def ranking(self) -> list[Head]:
        """All heads, the most important first; of equals the first in the order of kinds, layers, heads."""
        heads = [
            (-float(scores[layer, head]), Head(kind, layer, head))
            for kind, scores in self.scores.items()
            for layer, head in np.ndindex(*scores.shape)
        ]
        return [head for _, head in sorted(heads, key=lambda pair: pair[0])]

    def rows(self) -> list[dict[str, Any]]:
        """A table, the most important head first."""
        return [
            {**head._asdict(), "method": self.method, "importance": float(self.scores[head.kind][head[1:]])}
            for head in self.ranking()
        ]

    def as_dict(self) -> dict[str, Any]:
        """Everything as JSON holds it."""
        return {
            "method": self.method,
            "sentences": self.sentences,
            "tokens": self.tokens,
            "scores": {kind: scores.tolist() for kind, scores in self.scores.items()},
        }


def gradient_importance(
    translator: Translates, pairs: Pairs, *, progress: Progress | None = None
) -> HeadImportance:
    """The importance of all heads by the gradient of the loss.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch.
        pairs: Sentences and their translations, as references for the loss.
        progress: Called after every batch with the sentences read and their number.

    Raises:
        UserError: The model has no attention, or there are no pairs.
    """
    batches = _Batches(translator, pairs)
    sums = {kind: np.zeros(shape) for kind, shape in batches.attention_heads.items()}
    done = 0
    for source, target in batches:
        masks = batches.masks(len(source))
        for mask in masks.values():
            mask.requires_grad_()
        with torch.enable_grad():
            loss = batches.losses(source, target, masks).sum()
            gradients = torch.autograd.grad(loss, list(masks.values()))
        for kind, gradient in zip(masks, gradients, strict=True):
            sums[kind] += gradient.abs().sum(1).double().cpu().numpy()
        done += len(source)
        if progress is not None:
            progress(done, len(pairs))
    scores = {kind: total / done for kind, total in sums.items()}
    return HeadImportance("gradient", scores, done, batches.tokens)


def ablation_importance(
    translator: Translates, pairs: Pairs, *, progress: Progress | None = None
) -> HeadImportance:
    """The importance of every head by how much the loss grows without it; arguments as above."""
    batches = _Batches(translator, pairs)
    whole = batches.loss({})
    scores = {kind: np.zeros(shape) for kind, shape in batches.attention_heads.items()}
    count = sum(each.size for each in scores.values())
    done = 0
    for kind, (layers, heads) in batches.attention_heads.items():
        for layer, head in np.ndindex(layers, heads):
            kept = np.ones((layers, heads))
            kept[layer, head] = 0
            scores[kind][layer, head] = (batches.loss({kind: kept}) - whole) / batches.tokens
            done += 1
            if progress is not None:
                progress(done, count)
    return HeadImportance("ablation", scores, len(pairs), batches.tokens)


@dataclass(frozen=True)
class PruningPoint:
    """A model with some of its heads.

    Attributes:
        order: By what the heads were cut: "gradient", "ablation", or "random 1" and so on.
        kept: How many heads are left.
        loss: Of the references, per target token, in nats.
        score: What `score` says of the model's translations; None where it was not asked for.
    """

    order: str
    kept: int
    loss: float
    score: float | None


def pruning_curve(
    translator: Translates,
    pairs: Pairs,
    importances: Sequence[HeadImportance],
    *,
    score: Callable[[Sequence[str]], float] | None = None,
    points: int = 12,
    random_orders: int = 3,
    seed: int = 0,
    beam_size: int = 1,
    progress: Progress | None = None,
) -> list[PruningPoint]:
    """Cut heads, the least important first, and see what the rest can do; beside random orders.

    A head is cut by multiplying what it adds to the context by 0. Choose the order on other sentences than
    these: on the same ones the curve flatters it.

    Args:
        translator: A `shisen.Translator` with a network of PyTorch.
        pairs: Sentences and references.
        importances: Measures of the same heads; each gives an order of its own, called by its method.
        score: From the translations of all sentences to a number, such as BLEU; None: only the loss.
        points: At how many numbers of heads to look, those of all heads and of none included.
        random_orders: How many orders to draw, for comparison.
        seed: Of the drawing.
        beam_size: Of the translations.
        progress: Called after every point with their number.

    Returns:
        For every order its points, from all heads to none.
    """
    orders: dict[str, list[Head]] = {}
    for importance in importances:
        orders[importance.method] = importance.ranking()
    ranked = _all_heads(importances)
    generator = np.random.default_rng(seed)
    orders |= {
        f"random {number + 1}": [ranked[place] for place in generator.permutation(len(ranked))]
        for number in range(random_orders)
    }
    counts = np.unique(np.linspace(0, len(ranked), max(2, points)).round().astype(int))[::-1].tolist()
    batches = _Batches(translator, pairs)
    known: dict[frozenset[Head], tuple[float, float | None]] = {}
    found = []
    for name, order in orders.items():
        for kept in counts:
            heads = frozenset(order[:kept])
            if heads not in known:
                masks = _kept(heads, batches.attention_heads)
                loss = batches.loss(masks) / batches.tokens
                known[heads] = (
                    loss,
                    None if score is None else score(_texts(translator, pairs, masks, beam_size)),
                )
            found.append(PruningPoint(name, kept, *known[heads]))
            if progress is not None:
                progress(len(found), len(orders) * len(counts))
    return found


def _all_heads(importances: Sequence[HeadImportance]) -> list[Head]:
    """The heads that are measured, in the order of kinds, layers, heads.

    Raises:
        UserError: None are, or not the same by all measures.
    """
    of_each = [sorted(importance.ranking()) for importance in importances]
    if not of_each or any(heads != of_each[0] for heads in of_each):
        raise UserError("a pruning curve needs measures of importance, all of the same heads")
    return of_each[0]


def _kept(
    heads: frozenset[Head], attention_heads: Mapping[str, tuple[int, int]]
) -> dict[str, Float64[np.ndarray, "layers heads"]]:
    """The masks that keep these heads alone."""
    masks = {kind: np.zeros(shape) for kind, shape in attention_heads.items()}
    for kind, layer, head in heads:
        masks[kind][layer, head] = 1
    return masks


def _texts(
    translator: Translates, pairs: Pairs, masks: Mapping[str, np.ndarray], beam_size: int
) -> list[str]:
    """The translations of a model that has these heads."""
    intervention = Intervention()
    for kind, mask in masks.items():
        intervention = intervention & head_mask(mask, kind)  # type: ignore[arg-type]
    found = translator.translate(
        [source for source, _ in pairs], beam_size=beam_size, attention=False, intervention=intervention
    )
    return [translation.text for translation in found]


@dataclass(frozen=True, eq=False)
class _HeadScales:
    """An `AttentionEdit` that scales heads and nothing else."""

    masks: Masks

    def edits(self, kind: str, layer: int) -> bool:
        """No weight is changed."""
        return False

    def weights(self, place: AttentionPlace, weights: Tensor) -> Tensor:
        """As they are."""
        return weights

    def head_mask(self, kind: str, layer: int) -> Tensor | None:
        """What each head's part of the context is multiplied by, [batch, heads]."""
        return self.masks[kind][layer] if kind in self.masks else None

    def select(self, rows: Tensor) -> _HeadScales:
        """The masks of these sentences."""
        return _HeadScales({kind: mask[:, rows] for kind, mask in self.masks.items()})


class _Batches:
    """Pairs as batches of similar lengths, and their losses under head masks."""

    def __init__(self, translator: Translates, pairs: Pairs) -> None:
        self.model = translator.model
        self.attention_heads: dict[str, tuple[int, int]] = getattr(self.model, "attention_heads", {})
        if not self.attention_heads:
            raise UserError("this model has no attention, so it has no heads to measure")
        if not pairs:
            raise UserError("there are no sentence pairs to measure the heads on")
        parameters = self.model.parameters() if isinstance(self.model, nn.Module) else iter(())
        self.device = next((one.device for one in parameters), torch.device("cpu"))
        sources = translator.source_tokenizer.encode_batch([source for source, _ in pairs])
        targets = translator.target_tokenizer.encode_batch([target for _, target in pairs])
        self.rows = sorted(
            ([*source, END], [BEGIN, *target, END]) for source, target in zip(sources, targets, strict=True)
        )
        self.rows.sort(key=lambda row: (len(row[1]), len(row[0])))
        self.tokens = sum(len(target) - 1 for _, target in self.rows)

    def __iter__(self) -> Iterator[tuple[Int[Tensor, "batch keys"], Int[Tensor, "batch steps"]]]:
        """Batches of ids, padded."""
        start = 0
        while start < len(self.rows):
            end = start + 1
            while end < len(self.rows) and (end + 1 - start) * len(self.rows[end][1]) <= _TOKENS_TOGETHER:
                end += 1
            yield self._padded(0, start, end), self._padded(1, start, end)
            start = end

    def _padded(self, side: int, start: int, end: int) -> Tensor:
        sentences = [row[side] for row in self.rows[start:end]]
        longest = max(map(len, sentences))
        rows = [[*ids, *[PADDING] * (longest - len(ids))] for ids in sentences]
        return torch.tensor(rows, device=self.device)

    def masks(self, batch: int) -> dict[str, Float[Tensor, "layers batch heads"]]:
        """1 for every head of every sentence."""
        return {
            kind: torch.ones(layers, batch, heads, device=self.device)
            for kind, (layers, heads) in self.attention_heads.items()
        }

    def losses(
        self, source: Int[Tensor, "batch keys"], target: Int[Tensor, "batch steps"], masks: Masks
    ) -> Float[Tensor, " batch"]:
        """The loss of every sentence, in nats, summed over its tokens."""
        mask: Bool[Tensor, "batch keys"] = source != PADDING
        model: Any = self.model
        memory = model.encode(source, mask, False, edit=_HeadScales(masks))
        logits = model.output(model.decode(target[:, :-1], memory)).float()
        wanted = target[:, 1:]
        losses = nn.functional.cross_entropy(
            logits.flatten(0, 1), wanted.flatten(), ignore_index=PADDING, reduction="none"
        )
        return losses.view_as(wanted).sum(1)

    @torch.no_grad()
    def loss(self, kept: Mapping[str, np.ndarray]) -> float:
        """The loss of all pairs with the heads scaled so, [layers, heads] of each kind; others stay."""
        total = 0.0
        for source, target in self:
            masks = {
                kind: torch.tensor(mask, dtype=torch.float32, device=self.device)[:, None].expand(
                    -1, len(source), -1
                )
                for kind, mask in kept.items()
            }
            total += float(self.losses(source, target, masks).double().sum())
        return total
