"""Attention weighted by values: against NumPy, against what the modules give, and in every view."""

from pathlib import Path

import numpy as np
import pytest
import torch

from shisen import Translator
from shisen.data.vocabulary import BEGIN, END
from shisen.errors import UserError
from shisen.inspection import attention_statistics, recognize_pattern
from shisen.inspection.flow import attention_flow, attention_rollout, cross_rollout
from shisen.inspection.value_weighted import transformed_values, value_weighted_attention
from shisen.plotting import plot_heatmap
from small_model import SOURCES, TARGETS, save_small_model, save_small_transformer

SOURCE, TARGET = SOURCES[0], TARGETS[0]
VARIANTS = {
    "published": {},
    "pre-norm": {"norm": "pre"},
    "shared values": {"key_value_heads": 2},
    "rotary": {"positions": "rotary"},
    "sparse": {"encoder_pattern": "window(1)"},
}


@pytest.fixture(scope="module")
def transformer(tmp_path_factory: pytest.TempPathFactory) -> Translator:
    return Translator.load(save_small_transformer(tmp_path_factory.mktemp("transformer")))


def attentions_of(translator: Translator) -> dict[str, list[torch.nn.Module]]:
    model = translator.model
    return {
        "encoder": [layer.self_attention for layer in model.encoder],
        "decoder": [layer.self_attention for layer in model.decoder],
        "cross": [layer.cross_attention for layer in model.decoder],
    }


def what_modules_see(translator: Translator) -> dict[torch.nn.Module, tuple[np.ndarray, np.ndarray]]:
    """What W^V reads and what W^O gives, of every attention, while the model reads the pair."""
    inputs, outputs = {}, {}
    modules = [one for those in attentions_of(translator).values() for one in those]
    for one in modules:
        one.value.register_forward_hook(lambda _, given, out, one=one: inputs.update({one: given[0][0]}))
        one.out.register_forward_hook(lambda _, given, out, one=one: outputs.update({one: out[0]}))
    words = torch.tensor([[*translator.source_tokenizer.encode(SOURCE), END]])
    read = torch.tensor([[BEGIN, *translator.target_tokenizer.encode(TARGET)]])
    with torch.no_grad():
        memory = translator.model.encode(words, torch.ones_like(words, dtype=torch.bool))
        translator.model.decode(read, memory)
    return {one: (inputs[one].numpy(), outputs[one].numpy()) for one in modules}


@pytest.mark.parametrize("variant", VARIANTS)
def test_lengths_are_those_of_vectors_computed_by_loops_and_the_vectors_sum_to_the_output(
    tmp_path: Path, variant: str
):
    translator = Translator.load(save_small_transformer(tmp_path / "model", **VARIANTS[variant]))
    plain = translator.force(SOURCE, TARGET).attention
    lengths = value_weighted_attention(translator, SOURCE, TARGET, divide=False)
    together = value_weighted_attention(translator, SOURCE, TARGET, divide=False, merge_heads=True)
    seen = what_modules_see(translator)
    for kind, modules in attentions_of(translator).items():
        for layer, module in enumerate(modules):
            read, given = seen[module]
            size, groups = module.head_size, module.heads // (len(module.value.bias) // module.head_size)
            sums = 0
            for head in range(module.heads):
                part = slice(head // groups * size, (head // groups + 1) * size)
                value = (
                    read @ module.value.weight.detach().numpy()[part].T
                    + module.value.bias.detach().numpy()[part]
                )
                f = value @ module.out.weight.detach().numpy()[:, head * size : (head + 1) * size].T
                vectors = plain[kind].weights[layer, head][:, :, None] * f[None]  # [queries, keys, size]
                expected = np.sqrt((vectors**2).sum(-1))
                np.testing.assert_allclose(lengths[kind].weights[layer, head], expected, atol=1e-5)
                sums = sums + vectors
            np.testing.assert_allclose(
                together[kind].weights[layer, 0], np.sqrt((sums**2).sum(-1)), atol=1e-5
            )
            np.testing.assert_allclose(sums.sum(1) + module.out.bias.detach().numpy(), given, atol=1e-5)


def test_transformed_values_of_one_hot_projections_are_the_values_at_their_head():
    from shisen.attention import MultiHeadAttention

    attention = MultiHeadAttention(4, 2)
    with torch.no_grad():
        attention.out.weight.copy_(torch.eye(4))
    found = transformed_values(attention, torch.tensor([[1.0, 2.0, 3.0, 4.0]]))
    assert found.tolist() == [[[1, 2, 0, 0]], [[0, 0, 3, 4]]]


@pytest.mark.parametrize("mechanism", ["bahdanau", "luong-general", "local-p"])
def test_of_a_recurrent_model_they_are_the_weights_times_the_lengths_of_the_states(
    tmp_path: Path, mechanism: str
):
    translator = Translator.load(save_small_model(tmp_path / "model", attention=mechanism))
    plain = translator.force(SOURCE, TARGET).attention["cross"]
    found = value_weighted_attention(translator, SOURCE, TARGET, divide=False)
    assert list(found) == ["cross"]
    words = torch.tensor([[*translator.source_tokenizer.encode(SOURCE), END]])
    with torch.no_grad():
        states = translator.model.encoder(words, torch.ones_like(words, dtype=torch.bool)).states[0].numpy()
    expected = plain.weights[0, 0] * np.sqrt((states**2).sum(-1))
    np.testing.assert_allclose(found["cross"].weights[0, 0], expected, atol=1e-5)


def test_divided_rows_are_shares_and_the_tokens_stay(transformer: Translator):
    plain = transformer.force(SOURCE, TARGET).attention
    lengths = value_weighted_attention(transformer, SOURCE, TARGET, divide=False)
    for kind, found in value_weighted_attention(transformer, SOURCE, TARGET).items():
        assert (found.query_tokens, found.key_tokens) == (plain[kind].query_tokens, plain[kind].key_tokens)
        assert found.metadata["measure"] == "value-weighted"
        np.testing.assert_allclose(found.row_sums, 1, atol=1e-5)
        sums = lengths[kind].weights.sum(-1, keepdims=True)
        np.testing.assert_allclose(found.weights, lengths[kind].weights / sums, atol=1e-6)


def test_a_key_without_a_value_counts_for_nothing_however_large_its_weight(tmp_path: Path):
    translator = Translator.load(save_small_transformer(tmp_path / "model"))
    module = translator.model.decoder[0].cross_attention
    with torch.no_grad():
        module.value.weight.zero_()
        module.value.bias[4:].zero_()  # head 0 alone has values, the same for every key
    found = value_weighted_attention(translator, SOURCE, TARGET, divide=False)["cross"].weights[0]
    assert found[0].min() > 0
    assert not found[1:].any()


def test_without_a_target_it_is_the_models_own_translation(transformer: Translator):
    own = transformer.translate(SOURCE)
    found = value_weighted_attention(transformer, SOURCE)
    assert found["cross"].query_tokens == own.tokens


def test_every_view_and_statistic_and_the_flow_read_it(transformer: Translator):
    found = value_weighted_attention(transformer, SOURCE, TARGET)
    assert attention_statistics(found["cross"]).entropy.shape == found["cross"].weights.shape[:3]
    assert recognize_pattern(found["encoder"]).scores.shape == (2, 4, 11)
    assert plot_heatmap(found["cross"].layer(0).head(0)) is not None
    rolled = attention_rollout(found["encoder"])
    np.testing.assert_allclose(rolled.row_sums, 1, atol=1e-5)
    np.testing.assert_allclose(attention_flow(found["decoder"]).row_sums, 1, atol=1e-4)
    traced = cross_rollout(found["cross"], found["encoder"])
    np.testing.assert_allclose(traced.row_sums, 1, atol=1e-5)
    merged = value_weighted_attention(transformer, SOURCE, TARGET, merge_heads=True)
    assert attention_rollout(merged["encoder"]).heads == 1


def test_the_model_is_left_as_it_was(transformer: Translator):
    value_weighted_attention(transformer, SOURCE, TARGET)
    assert not any(module._forward_hooks for module in transformer.model.modules())


def test_the_shortest_sentence_has_its_map(transformer: Translator):
    found = value_weighted_attention(transformer, "dog", "犬")
    assert found["encoder"].weights.shape == (2, 4, 2, 2)


def test_what_has_no_attention_is_refused(tmp_path: Path, transformer: Translator):
    with pytest.raises(UserError, match="no attention to weigh"):
        value_weighted_attention(transformer, "")
    without = Translator.load(save_small_model(tmp_path / "model", attention="none"))
    with pytest.raises(UserError, match="no attention to weigh"):
        value_weighted_attention(without, SOURCE, TARGET)
