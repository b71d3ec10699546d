"""The Transformer against another implementation: transformers' Marian with the same parameters.

Marian's network is the published one (post-norm). Its positions are told it here as a table of ours, so that
features keep their order; nothing of `shisen.export` is used.
"""

import pytest
import torch
from small_transformer import SOURCE_WORDS, TARGET_WORDS, batch_of, small_transformer
from torch import Tensor, nn

from shisen.attention.positions import sinusoidal_positions
from shisen.data.vocabulary import BEGIN, END, PADDING

transformers = pytest.importorskip("transformers", reason="transformers, the extra hf, is not installed")


def marian_of(ours: nn.Module) -> nn.Module:
    """A `MarianModel` with the parameters of a post-norm Transformer, and its positions."""
    config = ours.config
    marian = transformers.MarianModel(
        transformers.MarianConfig(
            vocab_size=SOURCE_WORDS,
            decoder_vocab_size=TARGET_WORDS,
            share_encoder_decoder_embeddings=False,
            max_position_embeddings=32,
            d_model=config.model_size,
            encoder_layers=config.encoder_layers,
            decoder_layers=config.decoder_layers,
            encoder_attention_heads=config.heads,
            decoder_attention_heads=config.heads,
            encoder_ffn_dim=config.feed_forward_size,
            decoder_ffn_dim=config.feed_forward_size,
            activation_function=config.activation,
            scale_embedding=True,
            pad_token_id=PADDING,
            bos_token_id=BEGIN,
            eos_token_id=END,
            decoder_start_token_id=BEGIN,
        )
    ).double()
    names = {"self_attention": "self_attn", "cross_attention": "encoder_attn"}
    projections = {"query": "q_proj", "key": "k_proj", "value": "v_proj", "out": "out_proj"}
    state: dict[str, Tensor] = {
        "encoder.embed_tokens.weight": ours.source_embedding.words.weight,
        "decoder.embed_tokens.weight": ours.target_embedding.words.weight,
    }
    for side, layers in (("encoder", ours.encoder), ("decoder", ours.decoder)):
        state[f"{side}.embed_positions.weight"] = sinusoidal_positions(32, config.model_size)
        for number, layer in enumerate(layers):
            place = f"{side}.layers.{number}"
            for name, theirs in names.items():
                attention = getattr(layer, name)
                if attention is None:
                    continue
                for part, projection in projections.items():
                    for kind in ("weight", "bias"):
                        tensor = getattr(getattr(attention, part), kind)
                        state[f"{place}.{theirs}.{projection}.{kind}"] = tensor
                for kind in ("weight", "bias"):
                    tensor = getattr(getattr(layer, f"{name}_norm"), kind)
                    state[f"{place}.{theirs}_layer_norm.{kind}"] = tensor
            for kind in ("weight", "bias"):
                state[f"{place}.fc1.{kind}"] = getattr(layer.feed_forward.inner, kind)
                state[f"{place}.fc2.{kind}"] = getattr(layer.feed_forward.outer, kind)
                state[f"{place}.final_layer_norm.{kind}"] = getattr(layer.feed_forward_norm, kind)
    assert state.keys() == marian.state_dict().keys()
    marian.load_state_dict(state)
    return marian.eval()


@pytest.mark.parametrize("activation", ["relu", "gelu"])
@pytest.mark.parametrize("layers", [(1, 1), (2, 3)])
def test_states_and_weights_are_those_of_marian(activation, layers):
    ours = small_transformer(
        norm="post",
        activation=activation,
        encoder_layers=layers[0],
        decoder_layers=layers[1],
        tie_embeddings="none",
    )
    with torch.no_grad():
        for parameter in ours.parameters():  # biases and norms do not start from anything that shows
            parameter.add_(0.3 * torch.randn_like(parameter))
    marian = marian_of(ours)
    marian.set_attn_implementation("eager")
    batch = batch_of()
    mask, words = batch.source != PADDING, batch.target[:, :-1]
    with torch.no_grad():
        memory = ours.encode(batch.source, mask, with_attention=True)
        features = ours.decode(words, memory)
        expected = marian(
            input_ids=batch.source, attention_mask=mask, decoder_input_ids=words, output_attentions=True
        )
    # Marian adds a large negative number where ours excludes: what padding attends to is not compared.
    is_real = batch.target[:, 1:] != PADDING
    torch.testing.assert_close(features[is_real], expected.last_hidden_state[is_real], atol=1e-5, rtol=0)
    theirs = torch.stack(expected.encoder_attentions, 1)  # [batch, layers, heads, keys, keys]
    real_queries = mask[:, None, None, :, None].expand_as(theirs)
    torch.testing.assert_close(
        memory.attention["encoder"][real_queries], theirs[real_queries], atol=1e-5, rtol=0
    )


def test_steps_look_where_marian_looks():
    ours = small_transformer(norm="post", tie_embeddings="none")
    marian = marian_of(ours)
    marian.set_attn_implementation("eager")
    source = torch.tensor([[4, 5, 6, 7, END]])
    words = torch.tensor([[BEGIN, 5, 9, 7]])
    with torch.no_grad():
        memory = ours.encode(source, source != PADDING, with_attention=True)
        state, cross, own = ours.initial_state(memory), [], []
        for number in range(words.shape[1]):
            step = ours.step(words[:, number, None], state, memory)
            state = step.state
            cross.append(step.attention["cross"][0, 0])  # [layers, heads, keys]
            own.append(step.attention["decoder"][0, 0])  # [layers, heads, steps]
        expected = marian(input_ids=source, decoder_input_ids=words, output_attentions=True)
    theirs = (
        torch.cat(expected.cross_attentions).transpose(0, 2).transpose(1, 2)
    )  # [queries, layers, heads, keys]
    torch.testing.assert_close(torch.stack(cross), theirs, atol=1e-5, rtol=0)
    for number, weights in enumerate(own):
        rows = torch.cat(expected.decoder_attentions)[:, :, number, : number + 1]  # [layers, heads, steps]
        torch.testing.assert_close(weights, rows, atol=1e-5, rtol=0)
