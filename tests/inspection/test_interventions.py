"""Interventions: what they do to the weights, to whom, and that nothing done is nothing changed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from shisen import Translator
from shisen.data.alignments import Alignment
from shisen.errors import UserError
from shisen.inspection import AttentionMap
from shisen.inspection.intervention_edit import edit_of
from shisen.inspection.intervention_effect import compare_intervention
from shisen.inspection.intervention_places import names_target, resolved
from shisen.inspection.interventions import (
    Intervention,
    cut_edge,
    cut_heads,
    force_alignment,
    head_mask,
    replace_map,
    scale_edge,
    scale_heads,
    uniform_attention,
)
from shisen.models import AttentionPlace
from small_model import SOURCES, save_small_model, save_small_transformer

SENTENCE = SOURCES[0]


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(save_small_transformer(tmp_path_factory.mktemp("transformer")))


@pytest.fixture(scope="module")
def recurrent(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(save_small_model(tmp_path_factory.mktemp("recurrent"), attention="bahdanau"))


@pytest.fixture(params=["transformer", "recurrent"])
def translator(request: pytest.FixtureRequest) -> Translator:
    return request.getfixturevalue(request.param)


# ------------------------------------------------------------------ nothing done


NOTHING: dict[str, Callable[[Any], Intervention]] = {
    "no part": lambda own: Intervention(),
    "heads times 1": lambda own: scale_heads(1.0),
    "a mask of ones": lambda own: head_mask(np.ones(own.attention["cross"].weights.shape[:2])),
    "an edge times 1": lambda own: scale_edge(1.0, key="cat"),
    "a place that no row has": lambda own: cut_edge(query=99),
    "a key that the sentence has not": lambda own: cut_edge(key=99),
    "its own map": lambda own: replace_map(own.attention["cross"]),
    "another map of no strength": lambda own: replace_map(_uniform(own.attention["cross"]), strength=0.0),
    "no link": lambda own: force_alignment(Alignment(frozenset())),
}


def _uniform(attention: AttentionMap) -> AttentionMap:
    weights = np.full_like(attention.weights, 1 / attention.weights.shape[-1])
    return AttentionMap(weights, attention.query_tokens, attention.key_tokens, attention.kind)


@pytest.mark.parametrize("beam_size", [1, 4])
@pytest.mark.parametrize("name", NOTHING)
def test_an_intervention_that_does_nothing_changes_no_bit(
    translator: Translator, name: str, beam_size: int
) -> None:
    own = translator.translate(SENTENCE, beam_size=beam_size)
    after = translator.translate(SENTENCE, beam_size=beam_size, intervention=NOTHING[name](own))
    assert after.tokens == own.tokens
    assert after.log_probabilities == own.log_probabilities
    assert after.score == own.score
    for kind, attention in own.attention.items():
        assert np.array_equal(attention.weights, after.attention[kind].weights)


def test_what_is_done_to_one_sentence_leaves_the_others_as_they_are(translator: Translator) -> None:
    own = translator.translate(SOURCES)
    done = [None, cut_edge(key="learning"), None, uniform_attention()]
    after = translator.translate(SOURCES, intervention=done)
    for number, (one, other) in enumerate(zip(own, after, strict=True)):
        assert (one.log_probabilities == other.log_probabilities) is (done[number] is None)


# ------------------------------------------------------------------ what is done, in the maps


def rows_of(translator: Translator, done: Intervention, kind: str = "cross") -> tuple[np.ndarray, Any]:
    after = translator.translate(SENTENCE, intervention=done)
    return after.attention[kind].weights, after


def test_a_cut_key_has_no_weight_and_rows_keep_their_sum(translator: Translator) -> None:
    weights, after = rows_of(translator, cut_edge(key="cat"))
    column = after.source_tokens.index("cat")
    assert (weights[..., column] == 0).all()
    assert weights.sum(-1) == pytest.approx(1, abs=1e-6)


def test_the_first_row_of_a_cut_is_the_model_s_own_without_the_key(translator: Translator) -> None:
    own = translator.translate(SENTENCE)
    weights, _ = rows_of(translator, cut_edge(query=0, key="the"))
    the = [place for place, token in enumerate(own.source_tokens) if token == "the"]
    assert len(the) == 2
    before = own.attention["cross"].weights[0, :, 0]  # of the first layer, before which nothing has changed
    expected = before.copy()
    expected[:, the] = 0
    expected *= before.sum(-1, keepdims=True) / expected.sum(-1, keepdims=True)
    assert weights[0, :, 0] == pytest.approx(expected, abs=1e-6)
    assert (weights[0, :, 1:][..., the] > 0).all()


def test_without_renormalising_the_rest_of_the_row_stays(translator: Translator) -> None:
    own = translator.translate(SENTENCE).attention["cross"].weights[0, :, 0]
    weights, _ = rows_of(translator, scale_edge(0.5, 0, 1, layers=0, renormalize=False))
    expected = own.copy()
    expected[:, 1] /= 2
    assert np.array_equal(weights[0, :, 0], expected)


def test_uniform_attention_is_over_what_may_be_attended_to(transformer: Translator) -> None:
    weights, after = rows_of(transformer, uniform_attention("decoder"), "decoder")
    steps = len(after.tokens)
    expected = np.tril(np.ones((steps, steps))) / np.arange(1, steps + 1)[:, None]
    assert weights == pytest.approx(np.broadcast_to(expected, weights.shape), abs=1e-6)
    weights, after = rows_of(transformer, uniform_attention("encoder", layers=1, heads=[0, 2]), "encoder")
    keys = len(after.source_tokens)
    assert weights[1, [0, 2]] == pytest.approx(1 / keys)
    assert not np.isclose(weights[1, [1, 3]], 1 / keys).any()
    assert not np.isclose(weights[0], 1 / keys).any()


def test_a_given_map_is_what_is_attended_with(translator: Translator) -> None:
    own = translator.translate(SENTENCE)
    generator = np.random.default_rng(0)
    given_weights = generator.dirichlet(np.ones(len(own.source_tokens)), 5).astype(np.float32)
    other = AttentionMap.from_arrays(given_weights, list("abcde"), own.source_tokens)
    weights, _ = rows_of(translator, replace_map(other))
    rows = min(5, weights.shape[2])
    assert np.array_equal(
        weights[:, :, :rows], np.broadcast_to(given_weights[:rows], weights[:, :, :rows].shape)
    )
    half, _ = rows_of(translator, replace_map(other, layers=0, strength=0.5))
    expected = (own.attention["cross"].weights[0, :, 0] + given_weights[0]) / 2
    assert half[0, :, 0] == pytest.approx(expected, abs=1e-6)


def test_a_decoder_s_map_can_be_replaced_while_beams_share_their_keys(transformer: Translator) -> None:
    own = transformer.translate(SENTENCE, beam_size=4)
    mixed = replace_map(own.attention["decoder"]) & uniform_attention()
    forced = transformer.force_tokens([own], intervention=mixed)[0]
    assert np.array_equal(forced.attention["decoder"].weights, own.attention["decoder"].weights)
    after = transformer.translate(SENTENCE, beam_size=4, intervention=replace_map(own.attention["decoder"]))
    assert after.log_probabilities == own.log_probabilities


def test_a_forced_alignment_shares_each_row_among_its_links(translator: Translator) -> None:
    links = Alignment(frozenset({(1, 0), (3, 0)}), frozenset({(2, 1)}))
    weights, _ = rows_of(translator, force_alignment(links))
    keys = weights.shape[-1]
    assert np.array_equal(
        weights[:, :, 0], np.broadcast_to(np.eye(keys)[[1, 3]].mean(0), weights[:, :, 0].shape)
    )
    if weights.shape[2] > 2:
        assert np.array_equal(weights[:, :, 1], np.broadcast_to(np.eye(keys)[2], weights[:, :, 1].shape))
        assert not np.isclose(weights[:, :, 2], 0).all()


def test_links_between_words_reach_all_their_pieces() -> None:
    source, target = ("▁un", "like", "ly", "▁cat", "</s>"), ("▁ein", "▁Kat", "ze", "</s>")
    [part] = resolved(force_alignment(Alignment(frozenset({(0, 1)})), unit="word"), source, target).parts
    assert np.allclose(part.weights[0, 0], [[0] * 5, [1 / 3] * 3 + [0, 0], [1 / 3] * 3 + [0, 0], [0] * 5])
    assert part.rows.tolist() == [False, True, True, False]


# ------------------------------------------------------------------ heads


def test_a_cut_head_is_the_same_as_no_output_of_it(tmp_path: Path) -> None:
    folder = save_small_transformer(tmp_path / "model")
    done = cut_heads(heads=2, layers=1) & cut_heads(heads=0, layers=0, kind="encoder")
    cut = Translator.load(folder).translate(SENTENCE, intervention=done)
    without = Translator.load(folder)
    size = 4
    with torch.no_grad():
        layers = without.model.decoder, without.model.encoder
        layers[0][1].cross_attention.out.weight[:, 2 * size : 3 * size] = 0
        layers[1][0].self_attention.out.weight[:, :size] = 0
    expected = without.translate(SENTENCE)
    assert cut.tokens == expected.tokens
    assert cut.log_probabilities == pytest.approx(expected.log_probabilities, abs=1e-5)


def test_a_head_mask_is_the_scaling_of_each_head(transformer: Translator) -> None:
    mask = np.ones((2, 4))
    mask[0, 1], mask[1, 3] = 0, 0.5
    by_mask = transformer.translate(SENTENCE, intervention=head_mask(mask))
    parts = cut_heads(1, 0) & scale_heads(0.5, 3, 1)
    assert by_mask.log_probabilities == transformer.translate(SENTENCE, intervention=parts).log_probabilities


def test_interventions_join_in_their_order(translator: Translator) -> None:
    first = cut_edge(key=0) & uniform_attention()
    last = uniform_attention() & cut_edge(key=0)
    assert (rows_of(translator, first)[0][..., 0] > 0).all()
    assert (rows_of(translator, last)[0][..., 0] == 0).all()


# ------------------------------------------------------------------ tokens by name


def test_a_word_means_all_its_pieces_and_every_place_where_it_stands() -> None:
    source = ("▁the", "▁cat", "fish", "▁and", "▁the", "▁cat", "</s>")
    [part] = resolved(cut_edge(key=["the", "catfish"]), source, ()).parts
    assert part.key == (0, 4, 1, 2)
    [part] = resolved(cut_edge(key="▁cat"), source, ()).parts
    assert part.key == (1, 5)


def test_tokens_of_the_translation_are_those_of_the_translation_without(translator: Translator) -> None:
    own = translator.translate(SENTENCE)
    by_name = cut_edge(own.tokens[0], "cat")
    assert names_target(by_name)
    rows = [place for place, token in enumerate(own.tokens) if token == own.tokens[0]]
    by_place = cut_edge(rows, own.source_tokens.index("cat"))
    assert not names_target(by_place)
    named = translator.translate(SENTENCE, intervention=by_name)
    placed = translator.translate(SENTENCE, intervention=by_place)
    assert named.log_probabilities == placed.log_probabilities
    forced = translator.force(SENTENCE, own.text, intervention=cut_edge("</s>", "cat"))
    assert (forced.attention["cross"].weights[..., -1, own.source_tokens.index("cat")] == 0).all()


def test_wrong_names_numbers_and_shapes_are_one_clear_line(
    transformer: Translator, recurrent: Translator
) -> None:
    def refuses(message: str, done: Intervention, translator: Translator = transformer) -> None:
        with pytest.raises(UserError, match=message):
            translator.translate(SENTENCE, intervention=done)

    refuses("key 'dog' is not among the tokens: the cat sat", cut_edge(key="dog"))
    refuses("query '犬犬' is not among", cut_edge("犬犬", "cat"))
    refuses("layer 2: the cross attention has 2, counted from 0", cut_heads(layers=2))
    refuses("head 1: the cross attention has 1", cut_heads(heads=1), recurrent)
    refuses("no encoder attention to intervene in; it has cross", uniform_attention("encoder"), recurrent)
    short = AttentionMap.from_arrays(np.ones((1, 2)), ["a"], ["b", "c"])
    refuses("the map has 2 keys, but the sentence has 8 tokens", replace_map(short))
    tokens = [*SENTENCE.split(), "</s>"]
    several = AttentionMap.from_arrays(np.ones((3, 4, 1, 8)), ["a"], tokens)
    refuses("the map has 3 layers, the cross attention 2", replace_map(several))
    refuses("link 9-0: the source has 8 tokens", force_alignment(Alignment(frozenset({(9, 0)}))))
    for make, message in (
        (lambda: cut_edge(), "an edge has a query or a key"),
        (lambda: scale_edge(-1.0, key=0), "0 or more"),
        (lambda: scale_heads(float("nan")), "finite"),
        (lambda: cut_heads(heads=-1), "a head is a number from 0 on"),
        (lambda: head_mask(np.ones(3)), r"\[layers, heads\], got \[3\]"),
        (lambda: replace_map(short, strength=2.0), "between 0 and 1"),
    ):
        with pytest.raises(UserError, match=message):
            make()
    with pytest.raises(UserError, match="2 interventions, but 1 texts"):
        transformer.translate([SENTENCE], intervention=[None, None])


def test_without_attention_there_is_nothing_to_intervene_in(tmp_path: Path) -> None:
    translator = Translator.load(save_small_model(tmp_path / "none", attention="none"))
    with pytest.raises(UserError, match="no cross attention to intervene in; it has none"):
        translator.translate(SENTENCE, intervention=cut_edge(key=0))


def test_an_empty_sentence_stays_empty(translator: Translator) -> None:
    first, second = translator.translate(["", SENTENCE], intervention=uniform_attention())
    assert first.tokens == ()
    assert second.tokens


# ------------------------------------------------------------------ before and after


def test_the_effect_holds_both_and_the_change_of_every_token(translator: Translator) -> None:
    own = translator.translate(SENTENCE)
    [effect] = compare_intervention(translator, [SENTENCE], cut_edge(key="cat"))
    assert effect.before.log_probabilities == own.log_probabilities
    assert effect.read_after.tokens == own.tokens
    direct = translator.force_tokens([own], intervention=cut_edge(key="cat"))[0]
    [read] = translator.force_tokens([own])
    expected = np.array(direct.log_probabilities) - np.array(read.log_probabilities)
    assert effect.log_probability_changes == pytest.approx(expected)
    assert np.abs(expected).max() > 0
    column = own.source_tokens.index("cat")
    moved = effect.weight_changes["cross"][0, :, 0]
    assert moved == pytest.approx(own.attention["cross"].weights[0, :, 0, column], abs=1e-6)
    assert effect.as_dict()["tokens"][0]["token"] == own.tokens[0]
    assert str(effect).count("\n") == 1 + len(own.tokens)
    [nothing] = compare_intervention(translator, [SENTENCE], scale_heads(1.0))
    assert (nothing.log_probability_changes == 0).all()
    assert nothing.changed_tokens == ()


def test_forcing_its_own_tokens_gives_a_translation_its_own_score(translator: Translator) -> None:
    found = translator.translate([*SOURCES, ""])
    forced = translator.force_tokens(found)
    for own, read in zip(found, forced, strict=True):
        assert read.tokens == own.tokens
        assert read.text == own.text
        assert read.score == pytest.approx(own.score, abs=1e-5)


# ------------------------------------------------------------------ rows of weights, by themselves


@given(st.integers(0, 2**31), st.floats(0, 3), st.booleans())
def test_a_scaled_edge_is_the_formula(seed: int, factor: float, renormalize: bool) -> None:
    generator = np.random.default_rng(seed)
    weights = generator.dirichlet(np.full(5, 0.4), (1, 2, 3))
    done = scale_edge(factor, [0, 2], [1, 4], heads=1, renormalize=renormalize)
    edit = edit_of([done], {"cross": (1, 2)})
    expected = weights.copy()
    for row in (0, 2):
        changed = expected[0, 1, row].copy()
        changed[[1, 4]] *= factor
        if renormalize and changed.sum() > 0 and not np.array_equal(changed, expected[0, 1, row]):
            changed *= expected[0, 1, row].sum() / changed.sum()
        expected[0, 1, row] = changed
    if edit is None:
        assert factor == 1
        return
    place = AttentionPlace("cross", 0, torch.arange(3), torch.arange(5), None)
    assert edit.weights(place, torch.tensor(weights)).numpy() == pytest.approx(expected, abs=1e-12)
