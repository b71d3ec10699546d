"""Local attention: Luong, Pham and Manning, "Effective approaches to attention-based neural machine
translation", EMNLP 2015 (https://arxiv.org/abs/1508.04025), section 3.2."""

from typing import Literal, NamedTuple, get_args

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from shisen.attention.gathering import share, take
from shisen.attention.mechanism import (
    ContextAndWeights,
    Coverage,
    Mask,
    PreparedKeys,
    Query,
    ScoredAttention,
    StepNumbers,
    check_coverage,
    check_query,
    require_positive,
    weighted_sum,
)
from shisen.attention.normalization import AttentionFunction, WeightEdit, attention_weights
from shisen.attention.precision import autocast_off, widen

Alignment = Literal["monotonic", "predictive"]


class Window(NamedTuple):
    """The keys that each query looks at; a window is at most as wide as the sentence."""

    keys: Int[Tensor, "batch queries width"]  # where each stands among all keys
    distances: Float[Tensor, "batch queries width"]  # from the middle, counted in keys that are allowed
    allowed: Bool[Tensor, "batch queries width"]


def gaussian(distances: Float[Tensor, "*shape"], window: int) -> Float[Tensor, "*shape"]:
    """Make keys count less, the farther they are from the middle: exp(-(j - p)² / (2σ²)) with σ = D / 2.

    Args:
        distances: j - p.
        window: D.
    """
    return torch.exp(-2 * (distances / window).square())


class LocalAttention(ScoredAttention):
    """Attention to a window of the source around one position.

        monotonic:   p_t = t
        predictive:  p_t = S sigmoid(v_pᵀ tanh(W_p s_t))

        e_tj = s_tᵀ W_a h_j      for j from p_t - D to p_t + D alone
        monotonic:   α_t  = softmax(e_t)
        predictive:  α_tj = softmax(e_t)_j exp(-(j - p_t)² / (2σ²)),      σ = D / 2

    (Luong, Pham and Manning 2015, section 3.2; the paper's h_t and h̄_s are s_t and h_j here.) The query is
    s_t, the decoder state *after* the step. Steps t and keys j count from 0, and S is how many keys a
    sentence has. Where the mask is False there is no key: the others count as if they stood side by side, so
    padding and holes change nothing.

    The Gaussian multiplies the softmax and nothing is normalised after it, as published: **the weights of
    "predictive" sum to less than 1**. It is also what carries a gradient to W_p and v_p. A window that
    reaches beyond the sentence is cut off at its end; one that is wholly outside, as of a "monotonic" step
    t ≥ S + D, has nothing to attend to, and weights and context are 0.

    Only the keys of the window are scored and summed, and only they get a gradient. The other weights are 0.

    Parameters: ``W_a`` [query_size, key_size]; "predictive" also ``W_p`` [attention_size, query_size] and
    ``v_p`` [attention_size]. No biases. They start uniform in ±1/√(inputs), as torch's linear layers do.

    Args:
        query_size: features of s.
        key_size: features of h.
        alignment: "monotonic" (local-m) or "predictive" (local-p).
        window: D, how far the window reaches to either side.
        attention_size: features of the hidden layer that predicts p; None: ``query_size``. "monotonic" has no
            such layer.
        dropout: probability of dropping a weight in training; see :class:`~shisen.attention.ScoredAttention`.
        function: what makes weights of scores; see there.

    Raises:
        ValueError: an unknown alignment or function, a size or window below 1, or a dropout outside [0, 1).
        UserError: the function needs a library that is not installed.
    """

    def __init__(
        self,
        query_size: int,
        key_size: int,
        alignment: Alignment = "predictive",
        window: int = 10,
        attention_size: int | None = None,
        dropout: float = 0.0,
        function: AttentionFunction = "softmax",
    ) -> None:
        """Make W_a, and where positions are predicted W_p and v_p."""
        super().__init__(query_size, key_size, dropout, function)
        require_positive(window=window)
        if alignment not in get_args(Alignment):
            allowed = ", ".join(get_args(Alignment))
            raise ValueError(f"unknown alignment {alignment!r}; choose one of {allowed}")
        self.alignment, self.window = alignment, window
        self.reads_positions = alignment == "monotonic"
        self.W_a = nn.Linear(key_size, query_size, bias=False)
        if alignment == "predictive":
            attention_size = query_size if attention_size is None else attention_size
            require_positive(attention_size=attention_size)
            self.W_p = nn.Linear(query_size, attention_size, bias=False)
            self.v_p = nn.Parameter(torch.empty(attention_size).uniform_(-1, 1) / attention_size**0.5)

    def prepare(
        self,
        keys: Float[Tensor, "batch keys key_size"],
        values: Float[Tensor, "batch keys value_size"] | None = None,
        mask: Mask | None = None,
    ) -> PreparedKeys:
        """Check the shapes, and prepare the keys to be taken from at every step."""
        prepared = super().prepare(keys, values, mask)
        needs_gradient = torch.is_grad_enabled() and prepared.projected.requires_grad
        return prepared._replace(shared=share(prepared.projected)) if needs_gradient else prepared

    def attend(
        self,
        query: Query,
        prepared: PreparedKeys,
        positions: StepNumbers | None = None,
        coverage: Coverage | None = None,
        edit: WeightEdit | None = None,
    ) -> ContextAndWeights:
        """Find the window of each query, score its keys, normalise and sum.

        An edit sees the weights of all keys, and may give some to keys outside the window.

        Raises:
            ValueError: a shape does not fit, or the window follows the steps and the number of a single one
                is not given.
        """
        check_query(query, prepared, self.query_size)
        check_coverage(coverage, query, prepared, self.has_coverage)
        self._check_positions(positions, query)
        if query.ndim == 2:
            positions = None if positions is None else positions.unsqueeze(1)
            context, weights = self.attend(query.unsqueeze(1), prepared, positions, edit=edit)
            return context.squeeze(1), weights.squeeze(1)
        keys = prepared.keys.shape[1]
        if keys == 0:
            return query.new_zeros(*query.shape[:2], prepared.values.shape[-1]), widen(query[..., :0])
        window = self._window(query, prepared, positions)
        shared = prepared.shared
        h = take(prepared.projected, window.keys) if shared is None else shared.take(window.keys)
        # h: [batch, queries, width, key_size]
        weights = attention_weights(self._scores(query, h), window.allowed, self.function)
        if self.alignment == "predictive":
            weights = weights * gaussian(window.distances, self.window)
        everywhere = weights.new_zeros(*query.shape[:2], keys).scatter_add(2, window.keys, weights)
        if edit is not None:
            everywhere = edit(everywhere)
            return weighted_sum(self.drop(everywhere), prepared.values), everywhere
        values = h if prepared.values is prepared.projected else take(prepared.values, window.keys)
        context = torch.einsum("bqw,bqwv->bqv", self.drop(weights).to(values.dtype), values)
        return context, everywhere

    def _check_positions(self, positions: Tensor | None, query: Tensor) -> None:
        if not self.reads_positions:
            return
        if positions is None and query.ndim == 2:
            raise ValueError("a monotonic window follows the steps: give positions, the number of this step")
        if positions is not None and positions.shape != query.shape[:-1]:
            raise ValueError(
                f"expected positions of shape {list(query.shape[:-1])}, got {list(positions.shape)}"
            )

    def _scores(
        self,
        query: Float[Tensor, "batch queries query_size"],
        h: Float[Tensor, "batch queries width key_size"],
    ) -> Float[Tensor, "batch queries width"]:
        """s_tᵀ W_a h_j, as (W_aᵀ s_t)ᵀ h_j: W_a h_j of all keys is not needed."""
        by_query = widen(nn.functional.linear(query, self.W_a.weight.t()))  # [batch, queries, key_size]
        with autocast_off(query.device):
            return torch.matmul(h, by_query.unsqueeze(-1)).squeeze(-1)

    def _window(
        self,
        query: Float[Tensor, "batch queries query_size"],
        prepared: PreparedKeys,
        positions: Int[Tensor, "batch queries"] | None,
    ) -> Window:
        """Where the keys of each query's window stand, and how far from its middle they are."""
        keys, mask = prepared.keys.shape[1], prepared.mask
        # [batch or 1, queries or 1, keys]: how many keys there are up to each
        counts = torch.arange(1, keys + 1, device=query.device).expand(1, 1, -1)
        if mask is not None:
            counts = (mask.unsqueeze(1) if mask.ndim == 2 else mask).cumsum(-1)
        lengths = counts[..., -1]  # S, [batch or 1, queries or 1]
        middle = self._middle(query, lengths, positions)  # p, [batch, queries]
        width = min(2 * self.window + 1, keys)
        first = (middle.detach().round().long() - self.window).clamp(min=0, max=keys - width)
        numbers = first.unsqueeze(-1) + torch.arange(width, device=query.device)  # of keys, without holes
        distances = numbers - middle.unsqueeze(-1)
        allowed = (distances.detach().abs() <= self.window) & (numbers < lengths.unsqueeze(-1))
        if mask is None:
            return Window(numbers, distances, allowed)
        # The n-th key stands where the count reaches n + 1; there is no such place where n ≥ S.
        if counts.shape[1] == 1:
            places = torch.searchsorted(counts[:, 0], numbers.flatten(1) + 1).view_as(numbers)
        else:
            places = torch.searchsorted(counts, numbers + 1)
        return Window(places.clamp(max=keys - 1), distances, allowed)

    def _middle(
        self,
        query: Float[Tensor, "batch queries query_size"],
        lengths: Int[Tensor, "..."],
        positions: Int[Tensor, "batch queries"] | None,
    ) -> Float[Tensor, "batch queries"]:
        """p of each query, in the precision of the scores."""
        if self.alignment == "predictive":
            hidden = torch.tanh(widen(self.W_p(query)))  # [batch, queries, attention_size]
            with autocast_off(query.device):
                return lengths * torch.sigmoid(torch.matmul(hidden, widen(self.v_p)))
        if positions is None:
            positions = torch.arange(query.shape[1], device=query.device).expand(query.shape[:2])
        return positions.to(widen(query).dtype)
