"""Coverage: what the steps before have attended to enters the score, so that less is repeated and left out.

Tu et al., "Modeling coverage for neural machine translation", ACL 2016 (https://arxiv.org/abs/1601.04811),
whose linguistic coverage this is, without fertilities; See, Liu and Manning, "Get to the point: summarization
with pointer-generator networks", ACL 2017 (https://arxiv.org/abs/1704.04368), section 2.3.

    c_i = Σ_{t < i} α_t      e_ij = v_aᵀ tanh(W_a s + U_a h_j + w_c c_ij)
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn


def coverage_loss(
    weights: Float[Tensor, "*batch keys"], coverage: Float[Tensor, "*batch keys"]
) -> Float[Tensor, "*batch"]:
    """How much a step attends to what was attended to before.

        Σ_j min(α_ij, c_ij)

    (See, Liu and Manning 2017, equation 12.) 0 where the step looks at nothing that is covered, 1 where it
    looks at nothing else.

    Args:
        weights: α_i, the step's attention weights.
        coverage: c_i, the sum of the weights of the steps before.
    """
    return torch.minimum(weights, coverage).sum(-1)


def coverage_weights(attention_size: int) -> nn.Parameter:
    """Make the w_c of an additive score: uniform as Xavier's rule has it for one input."""
    bound = (6 / (1 + attention_size)) ** 0.5
    return nn.Parameter(torch.empty(attention_size).uniform_(-bound, bound))
