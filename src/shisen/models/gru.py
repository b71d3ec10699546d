"""The gated recurrent unit over a whole sequence, with one weight-gradient product after the loop.

One step, in the form of ``torch.nn.GRUCell`` (Cho et al. 2014, with the reset gate after the product):

    r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)        z = sigmoid(W_iz x + b_iz + W_hz h + b_hz)
    n = tanh(W_in x + b_in + r * (W_hn h + b_hn))     h' = (1 - z) * n + z * h

What depends on the inputs alone, W_i x + b_i, is made for all steps in one product and handed in.
:func:`gru_step` is the definition; :func:`gru_sequence` is the same arithmetic for a whole sequence, with a
backward that collects the gates' gradients and multiplies once. The tests hold the two together.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from shisen.models.products import Precision, product


def gru_step(
    input_gates: Float[Tensor, "*lead gates"],
    hidden: Float[Tensor, "*lead hidden"],
    weight_hh: Float[Tensor, "gates hidden"],
    bias_hh: Float[Tensor, " gates"],
) -> Float[Tensor, "*lead hidden"]:
    """One step of the unit. `input_gates` is W_i x + b_i, [..., 3 * hidden], in the order r, z, n."""
    size = hidden.size(-1)
    hidden_gates = torch.nn.functional.linear(hidden, weight_hh, bias_hh)
    reset_update = torch.sigmoid(input_gates[..., : 2 * size] + hidden_gates[..., : 2 * size])
    reset, update = reset_update.split(size, -1)
    candidate = torch.tanh(torch.addcmul(input_gates[..., 2 * size :], reset, hidden_gates[..., 2 * size :]))
    return torch.lerp(candidate, hidden, update)


class Gates(NamedTuple):
    """What a step leaves for the backward, each [steps, ..., hidden]."""

    reset_update: Tensor  # r and z, [steps, ..., 2 * hidden]
    candidate: Tensor  # n
    hidden_candidate: Tensor  # W_hn h + b_hn

    @classmethod
    def empty(cls, like: Tensor, steps: int, *lead: int) -> "Gates":
        """Room for `steps` steps; the last of `lead` is the hidden size."""
        *rows, size = lead
        return cls(
            like.new_empty(steps, *rows, 2 * size),
            like.new_empty(steps, *rows, size),
            like.new_empty(steps, *rows, size),
        )


def gru_step_into(
    gates: Gates, step: int, input_gates: Tensor, hidden_gates: Tensor, hidden: Tensor, out: Tensor
) -> None:
    """What :func:`gru_step` does after its products, written into `gates` and `out` without copies."""
    size = hidden.size(-1)
    reset_update = gates.reset_update[step]
    torch.add(input_gates[..., : 2 * size], hidden_gates[..., : 2 * size], out=reset_update).sigmoid_()
    reset, update = reset_update[..., :size], reset_update[..., size:]
    hidden_candidate = gates.hidden_candidate[step].copy_(hidden_gates[..., 2 * size :])
    candidate = gates.candidate[step]
    torch.addcmul(input_gates[..., 2 * size :], reset, hidden_candidate, out=candidate).tanh_()
    torch.lerp(candidate, hidden, update, out=out)


class GateFactors(NamedTuple):
    """The derivatives of h' by each gate's argument, for all steps at once: d h' = factor * d argument."""

    by_candidate: Tensor
    by_reset_of_candidate: Tensor  # of r's argument, given d n's argument
    by_update: Tensor
    reset: Tensor
    update: Tensor

    @classmethod
    def of(cls, gates: Gates, previous: Tensor) -> "GateFactors":
        """From the kept gates and the states before each step, both [steps, ..., hidden]."""
        size = previous.size(-1)
        reset, update = gates.reset_update[..., :size], gates.reset_update[..., size:]
        keep = 1 - update
        return cls(
            by_candidate=torch.addcmul(keep, keep, gates.candidate.square(), value=-1),
            by_reset_of_candidate=gates.hidden_candidate * torch.addcmul(reset, reset, reset, value=-1),
            by_update=(previous - gates.candidate).mul_(update).mul_(keep),
            reset=reset,
            update=update,
        )

    def backward_step(self, step: int, by_state: Tensor, by_input: Tensor, by_hidden: Tensor) -> None:
        """Write one step's gradients of W_i x (`by_input`) and W_h h (`by_hidden`), [..., 3 * hidden]."""
        size = by_state.size(-1)
        by_candidate = by_input[..., 2 * size :]
        torch.mul(by_state, self.by_candidate[step], out=by_candidate)
        torch.mul(by_state, self.by_update[step], out=by_input[..., size : 2 * size])
        torch.mul(by_candidate, self.by_reset_of_candidate[step], out=by_input[..., :size])
        by_hidden[..., : 2 * size] = by_input[..., : 2 * size]
        torch.mul(by_candidate, self.reset[step], out=by_hidden[..., 2 * size :])


class _GRUSequence(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, input_gates: Tensor, initial: Tensor, weight: Tensor, bias: Tensor, precision: Precision
    ) -> Tensor:
        steps, directions, batch, _ = input_gates.shape
        size = weight.size(2)
        states = input_gates.new_empty(steps + 1, directions, batch, size)
        states[0] = initial
        gates = Gates.empty(input_gates, steps, directions, batch, size)
        transposed = weight.transpose(1, 2)  # [directions, hidden, 3 * hidden]
        hidden_gates = input_gates.new_empty(directions, batch, 3 * size)
        for step in range(steps):
            for direction in range(directions):
                torch.addmm(
                    bias[direction],
                    states[step, direction],
                    transposed[direction],
                    out=hidden_gates[direction],
                )
            gru_step_into(gates, step, input_gates[step], hidden_gates, states[step], states[step + 1])
        ctx.save_for_backward(states, *gates, weight)
        ctx.precision = precision
        return states[1:]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, reset_update, candidate, hidden_candidate, weight = ctx.saved_tensors
        steps, directions, batch, size = candidate.shape
        factors = GateFactors.of(Gates(reset_update, candidate, hidden_candidate), states[:-1])
        by_input = gradient.new_empty(steps, directions, batch, 3 * size)
        by_hidden = gradient.new_empty(directions, steps, batch, 3 * size)
        carried = torch.zeros_like(states[0])
        for step in range(steps - 1, -1, -1):
            by_state = gradient[step] + carried
            by_gates = by_hidden[:, step]
            factors.backward_step(step, by_state, by_input[step], by_gates)
            torch.mul(by_state, factors.update[step], out=by_state)
            for direction in range(directions):
                torch.addmm(
                    by_state[direction], by_gates[direction], weight[direction], out=carried[direction]
                )
        previous = states[:-1].transpose(0, 1)  # [directions, steps, batch, hidden]
        flat = by_hidden.view(directions, steps * batch, 3 * size)
        by_weight = torch.stack(
            [
                product(flat[d].t(), previous[d].reshape(steps * batch, size), ctx.precision)
                for d in range(directions)
            ]
        )
        return by_input, carried, by_weight, flat.sum(1), None


def gru_sequence(
    input_gates: Float[Tensor, "steps directions batch gates"],
    initial: Float[Tensor, "directions batch hidden"],
    weight_hh: Float[Tensor, "directions gates hidden"],
    bias_hh: Float[Tensor, "directions gates"],
    precision: Precision = "float32",
) -> Float[Tensor, "steps directions batch hidden"]:
    """The states of all steps, of one or several independent units side by side (the two directions).

    Args:
        input_gates: W_i x + b_i of every step, [steps, directions, batch, 3 * hidden].
        initial: the state before the first step, [directions, batch, hidden].
        weight_hh: W_h of each direction, [directions, 3 * hidden, hidden], in the order r, z, n.
        bias_hh: b_h, [directions, 3 * hidden].
        precision: the format of the operands of the weight gradient's product; the recurrence stays as it is.
    """
    return _GRUSequence.apply(input_gates, initial, weight_hh, bias_hh, precision)
