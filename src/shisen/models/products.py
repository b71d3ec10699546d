"""Large matrix products in the number format that this processor multiplies fastest.

Processors with matrix units for bfloat16 (AMX) multiply large matrices many times faster in it than in
float32. Only the two operands of a product are rounded: parameters, recurrences, softmax and accumulation
stay float32. Without such units bfloat16 is slower, and ``precision="float32"`` is plain arithmetic.
"""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

Precision = Literal["float32", "bfloat16"]


def product(left: Tensor, right: Tensor, precision: Precision) -> Tensor:
    """`left @ right`, [rows, inner] x [inner, columns], with operands in `precision` and a float32 result."""
    if precision == "float32":
        return left @ right
    return (left.to(torch.bfloat16) @ right.to(torch.bfloat16)).to(left.dtype)


class _RoundedLinear(torch.autograd.Function):
    """x W^T with bfloat16 operands, in the forward and in both products of the backward."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor) -> Tensor:
        rounded_inputs, rounded_weight = inputs.to(torch.bfloat16), weight.to(torch.bfloat16)
        ctx.save_for_backward(rounded_inputs, rounded_weight)
        return (rounded_inputs @ rounded_weight.t()).to(inputs.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        rounded_inputs, rounded_weight = ctx.saved_tensors
        rounded = gradient.to(torch.bfloat16)
        by_inputs = (rounded @ rounded_weight).to(gradient.dtype)
        by_weight = (rounded.t() @ rounded_inputs).to(gradient.dtype)
        return by_inputs, by_weight


def linear(
    inputs: Float[Tensor, "*lead inputs"],
    weight: Float[Tensor, "outputs inputs"],
    bias: Float[Tensor, " outputs"] | None = None,
    precision: Precision = "float32",
) -> Float[Tensor, "*lead outputs"]:
    """x W^T + b over all leading axes in one product.

    Args:
        inputs: [..., inputs].
        weight: [outputs, inputs].
        bias: [outputs] or none.
        precision: the format of the product's operands; the result is in the format of `inputs`.
    """
    if precision == "float32":
        return torch.nn.functional.linear(inputs, weight, bias)
    flat = inputs.reshape(-1, inputs.size(-1))  # [rows, inputs]
    outputs = _RoundedLinear.apply(flat, weight)
    if bias is not None:
        outputs = outputs + bias
    return outputs.view(*inputs.shape[:-1], weight.size(0))
