"""Attention changed from outside: nothing changes nothing, and what is asked for is what is attended with."""

from typing import Any

import pytest
import torch
from small_networks import attending, padded_pairs, small_model
from small_transformer import batch_of, small_transformer
from torch import Tensor, nn

from shisen.attention import MultiHeadAttention, SparseSelfAttention, build_attention
from shisen.attention.patterns import bigbird
from shisen.data.vocabulary import PADDING
from shisen.decoding import BeamOptions, LengthLimits, beam_search, force, greedy
from shisen.errors import UserError
from shisen.models import AttentionPlace

RECURRENT = ["bahdanau", "luong-dot", "luong-concat coverage", "local-m", "local-p", "bahdanau sparsemax"]


class Edit:
    """Calls a function for the weights, and records where it was called."""

    def __init__(self, change: Any = None, masks: dict[tuple[str, int], Tensor] | None = None) -> None:
        self.change, self.masks, self.places = change, masks or {}, []

    def edits(self, kind: str, layer: int) -> bool:
        return self.change is not None

    def weights(self, place: AttentionPlace, weights: Tensor) -> Tensor:
        self.places.append(place)
        return self.change(place, weights)

    def head_mask(self, kind: str, layer: int) -> Tensor | None:
        return self.masks.get((kind, layer))

    def select(self, rows: Tensor) -> "Edit":
        return self


def unchanged(place: AttentionPlace, weights: Tensor) -> Tensor:
    return weights


def uniform(place: AttentionPlace, weights: Tensor) -> Tensor:
    """The same weight wherever a query may attend to."""
    allowed = torch.ones_like(weights) if place.allowed is None else place.allowed.expand_as(weights)
    allowed = allowed.to(weights.dtype)
    return allowed / allowed.sum(-1, keepdim=True)


def transformers() -> list[nn.Module]:
    settings: list[dict[str, object]] = [{}, {"positions": "alibi", "key_value_heads": 1}, {"norm": "pre"}]
    return [small_transformer(**each) for each in settings]


def networks() -> list[nn.Module]:
    return [*(small_model(**attending(kind)).eval() for kind in RECURRENT), *transformers()]


def found(model: Any, batch: Any, edit: Any = None) -> list[Any]:
    mask = batch.source != PADDING
    options = {"with_attention": True, "edit": edit, "lengths": LengthLimits(8)}
    hypotheses = greedy(model, batch.source, mask, **options)
    hypotheses += [
        one for some in beam_search(model, batch.source, mask, BeamOptions(3), **options) for one in some
    ]
    return [
        *hypotheses,
        *force(model, batch.source, mask, batch.target, with_attention=True, edit=edit),
    ]


@pytest.mark.parametrize("model", networks(), ids=lambda model: type(model).__name__)
def test_an_edit_that_gives_back_the_weights_changes_no_bit(model: Any) -> None:
    batch = batch_of()
    heads = {place: torch.ones(count) for place, count in places_of(model)}
    for own, edited in zip(found(model, batch), found(model, batch, Edit(unchanged, heads)), strict=True):
        assert own.ids == edited.ids
        if getattr(model.config, "attention", "").startswith("local"):  # it sums over all keys then
            torch.testing.assert_close(own.log_probabilities, edited.log_probabilities)
            continue
        assert own.log_probabilities == edited.log_probabilities
        for kind, weights in own.attention.items():
            assert (weights == edited.attention[kind]).all()


def places_of(model: Any) -> list[tuple[tuple[str, int], int]]:
    return [
        ((kind, layer), heads)
        for kind, (layers, heads) in model.attention_heads.items()
        for layer in range(layers)
    ]


@pytest.mark.parametrize("model", networks(), ids=lambda model: type(model).__name__)
def test_what_an_edit_gives_is_what_the_maps_show_and_the_output_follows_it(model: Any) -> None:
    batch = batch_of()
    mask = batch.source != PADDING
    edited = force(model, batch.source, mask, batch.target, edit=Edit(uniform))
    for row, hypothesis in enumerate(edited):
        keys = int(mask[row].sum())
        assert hypothesis.attention["cross"] == pytest.approx(1 / keys)
    own = force(model, batch.source, mask, batch.target)
    assert all(
        one.log_probabilities != other.log_probabilities
        for one, other in zip(own, edited, strict=True)
        if len(one.ids) > 1
    )


@pytest.mark.parametrize("model", networks(), ids=lambda model: type(model).__name__)
def test_all_positions_at_once_and_one_step_after_the_other_are_edited_alike(model: Any) -> None:
    batch = batch_of()
    mask = batch.source != PADDING

    def change(place: AttentionPlace, weights: Tensor) -> Tensor:
        """Different for every query, key and layer, so that a wrong position shows."""
        assert place.queries is not None
        factor = 1 + (3 * place.queries[:, None] + 5 * place.keys + place.layer) % 4
        return weights * factor / (weights * factor).sum(-1, keepdim=True).clamp_min(1e-9)

    memory = model.encode(batch.source, mask, True, edit=Edit(change))
    words = batch.target[:, :-1]
    with torch.no_grad():
        logits = model.output(model.decode(words, memory)).log_softmax(-1)
    stepped = force(model, batch.source, mask, batch.target, edit=Edit(change))
    for row, hypothesis in enumerate(stepped):
        ids = batch.target[row, 1 : 1 + len(hypothesis.ids)]
        expected = logits[row, : len(ids)].gather(1, ids[:, None])[:, 0]
        torch.testing.assert_close(
            torch.tensor(hypothesis.log_probabilities), expected.float(), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("model", networks(), ids=lambda model: type(model).__name__)
def test_a_head_mask_scales_the_heads_of_each_sentence(model: Any) -> None:
    batch = batch_of()
    mask = batch.source != PADDING
    scale = torch.tensor([1.0, 0.5, 0.0, 2.0])
    masks = {place: scale[:, None].expand(-1, heads) for place, heads in places_of(model)}
    together = force(model, batch.source, mask, batch.target, edit=Edit(masks=masks))
    own = force(model, batch.source, mask, batch.target)
    assert together[0].log_probabilities == pytest.approx(own[0].log_probabilities, abs=1e-6)
    for row in (1, 2, 3):
        alone = {place: scale[row].expand(heads) for place, heads in places_of(model)}
        one = slice(row, row + 1)
        [single] = force(model, batch.source[one], mask[one], batch.target[one], edit=Edit(masks=alone))
        assert together[row].log_probabilities == pytest.approx(single.log_probabilities, abs=1e-5)
        assert together[row].log_probabilities != pytest.approx(own[row].log_probabilities, abs=1e-6)


def test_a_head_that_is_masked_has_no_part_in_the_context() -> None:
    torch.manual_seed(0)
    attention = MultiHeadAttention(8, 2).double()
    x = torch.randn(3, 5, 8, dtype=torch.float64)
    context, _ = attention(x, head_mask=torch.tensor([0.0, 1.0]))
    with torch.no_grad():
        attention.value.weight[:4] = 0
        attention.value.bias[:4] = 0
    torch.testing.assert_close(context, attention(x)[0])


@pytest.mark.parametrize("name", ["bahdanau", "luong-general", "local-m", "local-p"])
def test_a_mechanism_sums_the_values_with_the_edited_weights(name: str) -> None:
    torch.manual_seed(0)
    attention = build_attention(name, 4, 6, 5, window=1).double()
    query, keys = torch.randn(2, 3, 4, dtype=torch.float64), torch.randn(2, 7, 6, dtype=torch.float64)
    given = torch.rand(2, 3, 7, dtype=torch.float64)
    context, weights = attention.attend(query, attention.prepare(keys), edit=lambda weights: given)
    assert (weights == given).all()
    torch.testing.assert_close(context, torch.einsum("bqk,bkv->bqv", given, keys))
    context, weights = attention.attend(
        query[:, 0],
        attention.prepare(keys),
        torch.zeros(2, dtype=torch.long),
        edit=lambda weights: given[:, :1],
    )
    torch.testing.assert_close(context, torch.einsum("bk,bkv->bv", given[:, 0], keys))


def test_a_sparse_pattern_is_the_same_with_an_edit_that_does_nothing() -> None:
    torch.manual_seed(0)
    sparse = SparseSelfAttention(8, 2, bigbird(block=4, count=1), block_size=4).double()
    x = torch.randn(2, 11, 8, dtype=torch.float64)
    mask = torch.ones(2, 11, dtype=torch.bool)
    mask[1, 8:] = False
    context, weights = sparse(x, mask, return_weights=True)
    edited, edited_weights = sparse(x, mask, edit=lambda weights: weights)
    torch.testing.assert_close(edited, context)
    torch.testing.assert_close(edited_weights.dense(), weights.dense())


def test_an_edit_follows_its_sentence_when_others_leave_the_batch() -> None:
    class OfRows(Edit):
        """A factor for every sentence of the batch."""

        def __init__(self, factors: Tensor) -> None:
            super().__init__(lambda place, weights: weights * factors[:, None, None, None])
            self.factors = factors

        def select(self, rows: Tensor) -> "OfRows":
            return OfRows(self.factors[rows])

    batch = batch_of()
    mask = batch.source != PADDING
    factors = torch.tensor([1.0, 0.3, 0.7, 2.0], dtype=torch.float64)
    lengths = LengthLimits(max_length_ratio=0.5, max_length=None)
    for model in (small_model(attention="bahdanau").eval(), small_transformer()):
        together = greedy(
            model, batch.source, mask, lengths=lengths, edit=OfRows(factors), with_attention=True
        )
        for row in range(4):
            keep = slice(row, row + 1)
            keys = int(mask[row].sum())
            [alone] = greedy(
                model,
                batch.source[keep, :keys],
                mask[keep, :keys],
                lengths=lengths,
                edit=OfRows(factors[keep]),
                with_attention=True,
            )
            assert together[row].ids == alone.ids
            assert together[row].log_probabilities == pytest.approx(alone.log_probabilities, abs=1e-9)


def test_without_attention_there_is_nothing_to_edit() -> None:
    model = small_model(attention="none").eval()
    batch = padded_pairs()
    with pytest.raises(UserError, match="no attention"):
        model.encode(batch.source, batch.source != PADDING, edit=Edit(unchanged))
    assert model.attention_heads == {}


def test_the_gradient_by_the_head_mask_is_that_of_a_finite_difference() -> None:
    batch = batch_of()
    mask = batch.source != PADDING
    model = small_transformer()

    def loss(by_cross: Tensor) -> Tensor:
        memory = model.encode(batch.source, mask, edit=Edit(masks={("cross", 1): by_cross}))
        logits = model.output(model.decode(batch.target[:, :-1], memory)).log_softmax(-1)
        return logits.gather(2, batch.target[:, 1:, None]).sum()

    ones = torch.ones(4, 2, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(loss(ones), ones)
    with torch.no_grad():
        for row, head in ((0, 0), (2, 1)):
            moved = torch.ones(4, 2, dtype=torch.float64)
            moved[row, head] += 1e-6
            up = loss(moved)
            moved[row, head] -= 2e-6
            expected = (up - loss(moved)) / 2e-6
            assert float(gradient[row, head]) == pytest.approx(float(expected), rel=1e-4, abs=1e-7)
