"""What else can be said to have decided a token: gradients, integrated gradients, and leaving tokens out.

With F_t(x) = log p(y_t | y_<t, x) and x_i the embedding of source token i:

    gradient                ‖∂F_t / ∂x_i‖₂
    gradient × input        x_i · ∂F_t / ∂x_i
    integrated gradients    (x_i - u) · ∫₀¹ ∂F_t(u + a (x - u)) / ∂x_i da         (Sundararajan et al. 2017)
    leave-one-out           TVD(p(· | y_<t, x), p(· | y_<t, x without token i))

u, what the path begins from, is ``<unk>`` in place of every word, and ``</s>`` as it is. (From the embedding
0 a Transformer whose layers begin with a normalisation has no path: it looks the same at any scale but 0.)
The last three are those that Jain & Wallace (2019) and their critics compare attention with; the sign of the
second and third says whether a token spoke for the decision or against it.
"""

import warnings
from collections.abc import Callable
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from shisen.data.vocabulary import END, UNKNOWN
from shisen.decoding.interface import DecodableModel
from shisen.errors import UserError
from shisen.inspection.faithfulness.distances import total_variation
from shisen.inspection.faithfulness.forward import (
    embedded_as,
    forced_steps,
    padded,
    scores_of_decisions,
    source_embedding,
)

_ROWS_TOGETHER = 256  # on the path of integrated gradients: bounds the memory that a long sentence takes


class GradientAttributions(NamedTuple):
    """The two attributions that one backward pass gives."""

    gradient: Float[Tensor, "steps keys"]
    gradient_input: Float[Tensor, "steps keys"]


class IntegratedGradients(NamedTuple):
    """The integrated gradients, and how far their sum is from F(x) - F(u), which it would be in the limit."""

    attributions: Float[Tensor, "steps keys"]
    deltas: Float[Tensor, " steps"]


Scores = Callable[[Float[Tensor, "rows keys size"], Int[Tensor, " rows"]], Float[Tensor, " rows"]]


def embedded_scores(
    model: DecodableModel,
    source: Int[Tensor, " keys"],
    target: Int[Tensor, " read"],
    decided: Int[Tensor, " steps"],
) -> Scores:
    """The function (embedded sources, decisions) → F: what gradients are taken of."""
    embedding = source_embedding(model)

    def scores(embedded: Tensor, decisions: Tensor) -> Tensor:
        rows = source.expand(len(embedded), -1)
        with embedded_as(embedding, embedded):
            return scores_of_decisions(model, rows, target, decided, decisions)

    return scores


@torch.enable_grad()
def gradients(
    model: DecodableModel,
    source: Int[Tensor, " keys"],
    target: Int[Tensor, " read"],
    decided: Int[Tensor, " steps"],
) -> GradientAttributions:
    """The gradient's norm and gradient × input of every decision, with one backward pass for all.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: The source sentence with ``</s>``.
        target: ``<s>`` and the translation that is read.
        decided: The token whose probability is explained, at each step.
    """
    steps = len(decided)
    words = source_embedding(model)(source).detach()  # [keys, size]
    embedded = words.expand(steps, -1, -1).clone().requires_grad_()
    scores = embedded_scores(model, source, target, decided)(
        embedded, torch.arange(steps, device=source.device)
    )
    (by_words,) = torch.autograd.grad(scores.sum(), embedded)  # [steps, keys, size]
    return GradientAttributions(by_words.norm(dim=-1), (by_words * words).sum(-1))


@torch.enable_grad()
def integrated_gradients(
    model: DecodableModel,
    source: Int[Tensor, " keys"],
    target: Int[Tensor, " read"],
    decided: Int[Tensor, " steps"],
    points: int = 16,
) -> IntegratedGradients:
    """Integrated gradients from ``<unk>``s, by the library captum (Gauss-Legendre).

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: The source sentence with ``</s>``.
        target: ``<s>`` and the translation that is read.
        decided: The token whose probability is explained, at each step.
        points: Where on the path the gradient is taken.

    Raises:
        UserError: captum is not installed.
    """
    try:
        from captum.attr import IntegratedGradients as Integration
    except ImportError:
        raise UserError(
            "integrated gradients need the library captum; install it: pip install 'shisen[attribution]'"
        ) from None
    decisions = torch.arange(len(decided), device=source.device)
    embedding = source_embedding(model)
    words = embedding(source).detach()
    nothing = embedding(torch.where(source == END, END, UNKNOWN)).detach()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum's, about sizes of batches
        by_words, deltas = Integration(embedded_scores(model, source, target, decided)).attribute(
            words.expand(len(decided), -1, -1),
            nothing.expand(len(decided), -1, -1),
            additional_forward_args=(decisions,),
            n_steps=points,
            internal_batch_size=max(_ROWS_TOGETHER, len(decided)),
            return_convergence_delta=True,
        )
    return IntegratedGradients(by_words.sum(-1).detach(), deltas.detach())


@torch.no_grad()
def leave_one_out(
    model: DecodableModel,
    source: Int[Tensor, " keys"],
    target: Int[Tensor, " read"],
    probabilities: Float[Tensor, "steps vocabulary"],
    erasable: int,
) -> Float[Tensor, "steps erasable"]:
    """How far every decision's distribution moves without each of the first `erasable` source tokens.

    Args:
        model: Any model that takes steps, in evaluation mode.
        source: The source sentence with ``</s>``.
        target: ``<s>`` and the translation that is read.
        probabilities: Of every step with the whole source.
        erasable: How many source tokens, from the first on, are left out in turn; not all there are, unless
            there are two or more.
    """
    ids = source.tolist()
    rest, mask = padded([ids[:left_out] + ids[left_out + 1 :] for left_out in range(erasable)], source.device)
    without = forced_steps(model, rest, mask, target.expand(erasable, -1)).log_probabilities.exp()
    return total_variation(without, probabilities).T  # [steps, erasable]
