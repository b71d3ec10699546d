"""The output layer and its loss in one step: label-smoothed cross-entropy over the vocabulary.

    loss = sum_i [ (1 - e) * -log p(y_i | x_i)  +  e * mean_v -log p(v | x_i) ],   p = softmax(x W^T + b)

(Szegedy et al. 2016, section 7; the same definition as ``torch.nn.functional.cross_entropy``.)

The vocabulary makes this the largest product of a small translation model. So the logits are made block by
block while they are in the processor's cache, the forward keeps the probabilities rather than logits and
log-probabilities, and nothing of the vocabulary's size is read twice for the smoothing term: the mean
logit is x . mean(W), and its gradient has the same simple form.
"""

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from shisen.models.products import Precision, product

_SMALLEST_PROBABILITY = 1e-30
_ROWS_PER_BLOCK = 128  # 128 rows x 5,000 words x 4 bytes: about what a core's cache holds


def _log_sums(logits: Tensor, p: Tensor, wanted: Tensor) -> Tensor:
    """log sum_v exp(logit_v) of each row, [rows], from its softmax: logit - log p of any one word.

    The word is the target, [rows, 1]; where its probability has no good logarithm, the sum is made.
    """
    p_wanted = p.gather(1, wanted)
    log_sums = (logits.gather(1, wanted) - p_wanted.log()).squeeze(1)
    is_tiny = (p_wanted < _SMALLEST_PROBABILITY).squeeze(1)
    if bool(is_tiny.any()):
        log_sums[is_tiny] = logits[is_tiny].logsumexp(1)
    return log_sums


class _OutputLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        features: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        label_smoothing: float,
        precision: Precision,
    ) -> Tensor:
        rows, vocabulary = features.size(0), weight.size(0)
        operand = torch.bfloat16 if precision == "bfloat16" else features.dtype
        x, transposed = features.to(operand), weight.to(operand).t()
        probabilities = torch.empty(rows, vocabulary, dtype=operand, device=features.device)
        log_sums, target_logits = features.new_empty(rows), features.new_empty(rows)
        for start in range(0, rows, _ROWS_PER_BLOCK):
            block = slice(start, min(start + _ROWS_PER_BLOCK, rows))
            wanted = targets[block, None]
            if operand == features.dtype:
                logits = torch.addmm(bias, x[block], transposed)  # [block, vocabulary]
                p = torch.softmax(logits, 1, out=probabilities[block])
            else:
                logits = (x[block] @ transposed).to(features.dtype) + bias
                p = torch.softmax(logits, 1)
                probabilities[block] = p
            target_logits[block] = logits.gather(1, wanted).squeeze(1)
            log_sums[block] = _log_sums(logits, p, wanted)
        loss = (log_sums - (1 - label_smoothing) * target_logits).sum()
        if label_smoothing:
            mean_logits = features @ weight.mean(0) + bias.mean()  # [rows]
            loss = loss - label_smoothing * mean_logits.sum()
        probabilities.scatter_add_(
            1, targets[:, None], probabilities.new_full((rows, 1), -(1 - label_smoothing))
        )  # d loss / d logits, but for the constant - e / vocabulary
        ctx.save_for_backward(features, weight, probabilities)
        ctx.label_smoothing, ctx.precision = label_smoothing, precision
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        features, weight, by_logits = ctx.saved_tensors
        constant = ctx.label_smoothing / weight.size(0)
        by_features = product(by_logits, weight, ctx.precision).to(features.dtype)
        by_weight = product(by_logits.t(), features, ctx.precision).to(features.dtype)
        by_bias = by_logits.sum(0, dtype=features.dtype)
        if constant:
            by_features -= constant * weight.sum(0)
            by_weight -= constant * features.sum(0)
            by_bias -= constant * features.size(0)
        return by_features * gradient, by_weight * gradient, by_bias * gradient, None, None, None


def output_loss(
    features: Float[Tensor, "tokens features"],
    weight: Float[Tensor, "vocabulary features"],
    bias: Float[Tensor, " vocabulary"],
    targets: Int[Tensor, " tokens"],
    label_smoothing: float = 0.0,
    precision: Precision = "float32",
) -> Float[Tensor, ""]:
    """The label-smoothed cross-entropy of `targets`, summed over real tokens, in nats.

    Args:
        features: [tokens, features], what the decoder says of each real target token (no padding).
        weight: [vocabulary, features], the output layer.
        bias: [vocabulary].
        targets: [tokens], the words that should be predicted.
        label_smoothing: the share e of probability that is spread over the whole vocabulary.
        precision: the format of the large products' operands.
    """
    return _OutputLoss.apply(features, weight, bias, targets, label_smoothing, precision)
