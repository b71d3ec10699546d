"""Teacher-forced Bahdanau decoding with one GRU layer as one function: the same numbers, made faster.

``RecurrentDecoder.step`` is the definition. Here the loop over the target runs without building a graph;
the backward recomputes the alignment energies tanh(W_a s + U_a h) instead of keeping [steps, batch, keys,
attention] of them, collects the gradients of all gates and queries, and makes each weight gradient in one
product after the loop. The tests hold values, weights and gradients of both ways together.
"""

from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from shisen.models.gru import GateFactors, Gates, gru_step_into
from shisen.models.products import Precision, product


class Unrolled(NamedTuple):
    """All steps of a decoder; time first."""

    states: Float[Tensor, "steps batch hidden"]
    contexts: Float[Tensor, "steps batch values"]
    weights: Float[Tensor, "steps batch keys"]  # carries no gradient


class _BahdanauGRU(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        input_gates: Tensor,  # [steps, batch, 3 * hidden]
        initial: Tensor,  # [batch, hidden]
        projected: Tensor,  # U_a h, [batch, keys, attention]
        values: Tensor,  # h, [batch, keys, values]
        mask: Tensor,  # [batch, keys]
        W_a: Tensor,  # [attention, hidden]
        v_a: Tensor,  # [attention]
        W_context: Tensor,  # [3 * hidden, values]
        W_hidden: Tensor,  # [3 * hidden, hidden]
        b_hidden: Tensor,  # [3 * hidden]
        kept: Tensor | None,  # dropout of the weights, scaled, [steps, batch, keys]
        precision: Precision,
    ) -> tuple[Tensor, Tensor, Tensor]:
        steps, batch, _ = input_gates.shape
        keys, attention = projected.shape[1:]
        hidden = initial.size(1)
        states = input_gates.new_empty(steps + 1, batch, hidden)
        states[0] = initial
        contexts = input_gates.new_empty(steps, batch, values.size(2))
        weights = input_gates.new_empty(steps, batch, keys)
        gates = Gates.empty(input_gates, steps, batch, hidden)
        # Masked scores are -inf, so their weights are exactly 0; a row without any key gets 0 throughout.
        penalty = torch.zeros_like(mask, dtype=input_gates.dtype).masked_fill_(~mask, float("-inf"))
        is_empty = ~mask.any(1, keepdim=True)
        has_empty = bool(is_empty.any())
        penalty.masked_fill_(is_empty, 0.0)
        energies = torch.empty_like(projected)
        # One product makes the query W_a s and the gates' part W_h s.
        from_state = torch.cat([W_a, W_hidden]).t().contiguous()
        from_state_bias = torch.cat([b_hidden.new_zeros(attention), b_hidden])
        from_context = W_context.t()
        for step in range(steps):
            by_state = torch.addmm(from_state_bias, states[step], from_state)
            torch.add(projected, by_state[:, :attention].unsqueeze(1), out=energies).tanh_()
            scores = torch.addmv(penalty.view(-1), energies.view(-1, attention), v_a).view(batch, keys)
            torch.softmax(scores, 1, out=weights[step])
            if has_empty:
                weights[step].masked_fill_(is_empty, 0.0)
            used = weights[step] if kept is None else weights[step] * kept[step]
            torch.bmm(used.unsqueeze(1), values, out=contexts[step].unsqueeze(1))
            step_gates = torch.addmm(input_gates[step], contexts[step], from_context)
            gru_step_into(gates, step, step_gates, by_state[:, attention:], states[step], states[step + 1])
        ctx.save_for_backward(
            projected, values, states, contexts, weights, *gates, W_a, v_a, W_context, W_hidden, kept
        )
        ctx.precision = precision
        ctx.mark_non_differentiable(weights)
        ctx.set_materialize_grads(True)
        return states[1:], contexts, weights

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, by_states: Tensor, by_contexts: Tensor, _by_weights: Tensor
    ) -> tuple[Tensor | None, ...]:
        (projected, values, states, contexts, weights, *gates, W_a, v_a, W_context, W_hidden, kept) = (
            ctx.saved_tensors
        )
        steps, batch, hidden = by_states.shape
        keys, attention = projected.shape[1:]
        previous = states[:-1].view(steps * batch, hidden)
        factors = GateFactors.of(Gates(*gates), states[:-1])
        queries = (previous @ W_a.t()).view(steps, batch, attention)
        to_state = torch.cat([W_a, W_hidden])  # [attention + 3 * hidden, hidden]
        by_input = by_states.new_empty(steps, batch, 3 * hidden)
        by_from_state = by_states.new_empty(steps, batch, attention + 3 * hidden)
        context_gradients = torch.empty_like(contexts)
        values_t = values.transpose(1, 2)
        energies, squares = torch.empty_like(projected), torch.zeros_like(projected)
        by_scores = by_states.new_empty(steps, batch, keys)
        by_v = by_states.new_zeros(batch, 1, attention)
        carried = torch.zeros_like(states[0])
        for step in range(steps - 1, -1, -1):
            by_state = by_states[step] + carried
            row = by_from_state[step]
            factors.backward_step(step, by_state, by_input[step], row[:, attention:])
            by_context = torch.addmm(
                by_contexts[step], by_input[step], W_context, out=context_gradients[step]
            )
            by_weight = torch.bmm(by_context.unsqueeze(1), values_t).squeeze(1)  # [batch, keys]
            if kept is not None:
                by_weight *= kept[step]
            weight = weights[step]
            weighted = weight * by_weight
            by_score = torch.addcmul(weighted, weight, weighted.sum(1, keepdim=True), value=-1)
            by_scores[step] = by_score
            # d score / d energy argument = v_a (1 - tanh^2): the sums over 1 and over tanh^2 are kept apart,
            # so that each [batch, keys, attention] array is passed over as few times as can be.
            torch.add(projected, queries[step].unsqueeze(1), out=energies).tanh_()
            as_row = by_score.unsqueeze(1)  # [batch, 1, keys]
            torch.baddbmm(by_v, as_row, energies, out=by_v)
            energies.mul_(energies)
            squares.addcmul_(energies, by_score.unsqueeze(2))
            query_gradient = torch.bmm(as_row, energies).squeeze(1)  # [batch, attention]
            torch.sub(by_score.sum(1, keepdim=True), query_gradient, out=row[:, :attention]).mul_(v_a)
            torch.mul(by_state, factors.update[step], out=by_state)
            torch.addmm(by_state, row, to_state, out=carried)
        by_projected = squares.neg_().add_(by_scores.sum(0).unsqueeze(2)).mul_(v_a)
        used = weights if kept is None else weights * kept
        by_values = torch.bmm(used.permute(1, 2, 0), context_gradients.transpose(0, 1))
        rows = by_from_state.view(steps * batch, -1)
        by_to_state = product(rows.t(), previous, ctx.precision)
        by_W_context = product(
            by_input.view(steps * batch, -1).t(), contexts.view(steps * batch, -1), ctx.precision
        )
        return (
            by_input,
            carried,
            by_projected,
            by_values,
            None,
            by_to_state[:attention],
            by_v.sum((0, 1)),
            by_W_context,
            by_to_state[attention:],
            rows[:, attention:].sum(0),
            None,
            None,
        )


def unroll_bahdanau_gru(
    input_gates: Float[Tensor, "steps batch gates"],
    initial: Float[Tensor, "batch hidden"],
    projected: Float[Tensor, "batch keys attention"],
    values: Float[Tensor, "batch keys values"],
    mask: Bool[Tensor, "batch keys"],
    W_a: Float[Tensor, "attention hidden"],
    v_a: Float[Tensor, " attention"],
    W_context: Float[Tensor, "gates values"],
    W_hidden: Float[Tensor, "gates hidden"],
    b_hidden: Float[Tensor, " gates"],
    attention_dropout: float = 0.0,
    precision: Precision = "float32",
) -> Unrolled:
    """All states, contexts and weights of a decoder that reads known words.

    Args:
        input_gates: what the embedded words contribute to the gates, [steps, batch, 3 * hidden].
        initial: the state before the first step.
        projected: U_a h of every encoder state, contiguous.
        values: h, the encoder states.
        mask: True at real source tokens.
        W_a: the query's projection. v_a: what the energies are multiplied by.
        W_context: the cell's input weights for the context.
        W_hidden: the cell's recurrent weights. b_hidden: their bias.
        attention_dropout: probability of dropping a weight; 0 at evaluation.
        precision: the format of the weight gradients' operands; the recurrence stays as it is.
    """
    kept = None
    if attention_dropout:
        shape = (input_gates.size(0), *mask.shape)
        kept = input_gates.new_empty(shape).bernoulli_(1 - attention_dropout).div_(1 - attention_dropout)
    return Unrolled(
        *_BahdanauGRU.apply(
            input_gates,
            initial,
            projected,
            values,
            mask,
            W_a,
            v_a,
            W_context,
            W_hidden,
            b_hidden,
            kept,
            precision,
        )
    )
