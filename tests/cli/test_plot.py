"""The verb plot: pictures of models, of saved attention and of training logs; what is wrong in one line."""

import json
import sys
import types

import numpy as np
import pytest

from shisen import AttentionMap
from shisen.cli.main import main
from shisen.inspection import save_maps

SENTENCE = "I love deep learning"


class FakeTranslator:
    """Stands for a loaded model: the attention says which model and which translation it belongs to."""

    def __init__(self, folder):
        self.folder = folder

    @classmethod
    def load(cls, folder):
        return cls(folder)

    def translate(self, sentence):
        return self.force(sentence, "私 は 深層 学習 が 好き です")

    def force(self, sentence, translation):
        rows, keys = [*translation.split(), "</s>"], [*sentence.split(), "</s>"]
        weights = np.random.default_rng(0).dirichlet(np.ones(len(keys)), (2, 2, len(rows)))
        return types.SimpleNamespace(attention={"cross": AttentionMap.from_arrays(weights, rows, keys)})


@pytest.fixture
def drawn(monkeypatch):
    """Models that need no training; what reaches the figures is kept to be looked at."""
    monkeypatch.setitem(sys.modules, "shisen.pipelines", types.SimpleNamespace(Translator=FakeTranslator))
    seen = []
    from shisen.cli import plot

    original = plot._figure

    def remember(maps, bars, titles, **options):
        seen.append((dict(maps), bars, options, dict(titles)))
        return original(maps, bars, titles, **options)

    monkeypatch.setattr(plot, "_figure", remember)
    return seen


def run(*arguments):
    with pytest.raises(SystemExit) as end:
        main([str(argument) for argument in arguments])
    return end.value.code


def saved(path, *sizes):
    save_maps(path, [_map(*size) for size in sizes or ((2, 3),)])
    return path


def _map(queries, keys):
    weights = np.full((1, 1, queries, keys), 1 / keys)
    return AttentionMap.from_arrays(
        weights, [f"q{i}" for i in range(queries)], [f"k{i}" for i in range(keys)]
    )


@pytest.mark.parametrize("kind", ["png", "svg", "pdf"])
def test_a_model_and_a_sentence_make_a_picture(tmp_path, drawn, kind):
    out = tmp_path / "pictures" / f"a.{kind}"
    assert run("plot", "attention", tmp_path / "model", SENTENCE, "--out", out) == 0
    assert out.stat().st_size > 3000
    ((maps, bars, options, titles),) = drawn
    assert titles == {"model": "cross, mean of 4 heads"}
    assert maps["model"].weights.shape[:2] == (1, 1)
    assert maps["model"].key_tokens == ("I", "love", "deep", "learning", "</s>")
    assert maps["model"].query_tokens[:2] == ("私", "は")
    assert (bars, options) == (None, {"language": "en", "maximum": None})


def test_a_translation_can_be_given(tmp_path, drawn):
    arguments = [
        "--translation",
        "深層 学習",
        "--out",
        tmp_path / "a.png",
        "--language",
        "ja",
        "--maximum",
        "0.7",
    ]
    assert run("plot", "attention", tmp_path / "model", SENTENCE, *arguments) == 0
    assert drawn[0][0]["model"].query_tokens == ("深層", "学習", "</s>")
    assert drawn[0][2] == {"language": "ja", "maximum": 0.7}


def test_several_models_are_compared_under_names_that_tell_them_apart(tmp_path, drawn):
    models = [tmp_path / name for name in ("a/model", "b/model", "b/model")]
    assert run("plot", "attention", *models, SENTENCE, "--out", tmp_path / "a.png") == 0
    assert list(drawn[0][0]) == ["a/model", "b/model", "b/model (2)"]


def test_a_model_and_a_file_of_its_name_are_two_panels(tmp_path, drawn):
    (tmp_path / "a").mkdir()
    file = saved(tmp_path / "a/demo.attn.safetensors")
    assert run("plot", "attention", file, tmp_path / "b/demo", SENTENCE, "--out", tmp_path / "a.png") == 0
    assert list(drawn[0][0]) == ["a/demo", "b/demo"]
    assert run("plot", "attention", file, tmp_path / "a/demo", SENTENCE, "--out", tmp_path / "a.png") == 0
    assert list(drawn[1][0]) == ["demo", "demo (2)"]


def test_layers_heads_words_and_special_tokens_are_chosen(tmp_path, drawn):
    options = ["--layer", "1", "--head", "0", "--no-special-tokens", "--words"]
    sentence = "▁I ▁lo ve"
    assert run("plot", "attention", "model", sentence, *options, "--out", tmp_path / "a.png") == 0
    (attention_map,) = drawn[0][0].values()
    assert attention_map.weights.shape == (1, 1, 7, 2)
    assert attention_map.metadata == {"layer": 1, "head": 0}
    assert attention_map.key_tokens == ("I", "love")


@pytest.mark.parametrize(
    ("options", "shape", "title"),
    [
        ([], (1, 1), "cross, mean of 4 heads"),
        (["--layer", "1"], (1, 1), "cross, layer 1, mean of 2 heads"),
        (["--head", "0"], (1, 1), "cross, head 0, mean of 2 layers"),
        (["--layer", "1", "--head", "0"], (1, 1), "cross, layer 1, head 0"),
        (["--layer", "1", "--grid"], (1, 2), "cross, layer 1, mean of 2 heads"),
        (["--grid"], (2, 2), "cross, mean of 4 heads"),  # which a grid does not show
    ],
)
def test_the_title_says_what_is_drawn_of_several_layers_and_heads(tmp_path, drawn, options, shape, title):
    assert run("plot", "attention", "model", SENTENCE, *options, "--out", tmp_path / "a.png") == 0
    maps, _, _, titles = drawn[0]
    assert maps["model"].weights.shape[:2] == shape
    assert titles == {"model": title}


def test_maps_of_a_file_are_chosen_by_kind(tmp_path, drawn):
    weights = np.ones((1, 1, 1, 1))
    kinds = ["cross", "decoder", "cross", "decoder"]
    maps = [AttentionMap.from_arrays(weights, [f"q{i}"], ["k"], kind) for i, kind in enumerate(kinds)]
    path = tmp_path / "a.attn.safetensors"
    save_maps(path, maps)
    options = ["--kind", "decoder", "--number", "1", "--out", tmp_path / "a.png"]
    assert run("plot", "attention", path, *options) == 0
    assert drawn[0][0]["a"].query_tokens == ("q3",)
    assert drawn[0][3] == {"a": "decoder"}
    assert run("plot", "attention", path, "--out", tmp_path / "b.png") == 0
    assert drawn[1][0]["a"].query_tokens == ("q0",)


def test_bars_are_of_the_step_that_was_named(tmp_path, drawn):
    out = tmp_path / "a.svg"
    assert run("plot", "attention", "one", "two", SENTENCE, "--bars", "2", "--out", out) == 0
    assert drawn[0][1] == 2
    assert out.stat().st_size > 3000


def test_saved_attention_needs_no_model_and_no_sentence(tmp_path, drawn):
    one = saved(tmp_path / "one.attn.safetensors")
    many = saved(tmp_path / "many.attn.safetensors", (1, 2), (4, 5))
    assert run("plot", "attention", one, "--out", tmp_path / "a.png") == 0
    assert run("plot", "attention", many, "--number", "1", "--out", tmp_path / "b.png") == 0
    assert list(drawn[0][0]) == ["one"]
    assert drawn[1][0]["many"].weights.shape == (1, 1, 4, 5)


def test_saved_attention_stands_beside_a_model(tmp_path, drawn):
    one = saved(tmp_path / "one.attn.safetensors")
    assert run("plot", "attention", one, "model", SENTENCE, "--out", tmp_path / "a.png") == 0
    assert list(drawn[0][0]) == ["one", "model"]


def test_drawing_saved_attention_does_not_load_torch(tmp_path):
    import subprocess

    one = saved(tmp_path / "one.attn.safetensors")
    code = (
        "import sys; from shisen.cli.main import main\n"
        f"try: main(['plot', 'attention', {str(one)!r}, '--out', {str(tmp_path / 'a.png')!r}])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout.strip() == "0 False"


def test_curves_of_runs_are_drawn(tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        lines = [json.dumps({"step": i, "seconds": i, "loss": 3 - i / 10}) for i in range(9)]
        (tmp_path / name / "training_log.jsonl").write_text("\n".join([*lines, '{"step": 9, "lo']))
    out = tmp_path / "curves.pdf"
    assert run("plot", "curves", tmp_path / "one", tmp_path / "two", "--x", "seconds", "--out", out) == 0
    assert out.read_bytes().startswith(b"%PDF")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["attention", "model", SENTENCE, "--out", "a.gif"], "a.gif: the extension .gif names no image"),
        (["attention", "model", SENTENCE, "--out", "a"], "a: a name without extension names no image format"),
        (["attention", "model", SENTENCE], "Missing option '--out'"),
        (["attention", "--out", "a.png"], "Missing argument"),
        (["attention", SENTENCE, "--out", "a.png"], "a sentence is missing: shisen plot attention MODEL_DIR"),
        (["attention", "one", "trained", "--out", "a.png"], "a sentence is missing"),
        (["attention", "one", "two.attn.safetensors", "--out", "a.png"], "a sentence is missing"),
        (["attention", "model", " ", "--out", "a.png"], "the sentence is empty"),
        (["attention", "model", "caf\udce9", "--out", "a.png"], "the lone surrogate U+DCE9 at character 4"),
        (["attention", "model", SENTENCE, "--layer", "7", "--out", "a.png"], "no layer 7: the map has 2"),
        (["attention", "model", SENTENCE, "--head", "-3", "--out", "a.png"], "there is no head -3"),
        (["attention", "model", SENTENCE, "--bars", "99", "--out", "a.png"], "no step 99: the map has 8"),
        (["attention", "model", SENTENCE, "--kind", "self", "--out", "a.png"], "--kind is one of cross, "),
        (["attention", "model", SENTENCE, "--kind", "encoder", "--out", "a.png"], "no attention of the kind"),
        (["attention", "one.attn.safetensors", "--kind", "decoder", "--out", "a.png"], "0 attention maps of"),
        (["attention", "model", "m2", SENTENCE, "--grid", "--out", "a.png"], "--grid draws the layers"),
        (["attention", "model", SENTENCE, "--language", "fr", "--out", "a.png"], "one of en, ja, not 'fr'"),
        (["attention", "model", SENTENCE, "--maximum", "0", "--out", "a.png"], "positive number, not at 0.0"),
        (["attention", "model", SENTENCE, "--dpi", "0", "--out", "a.png"], "--dpi"),
        (["attention", "lost.attn.safetensors", "--out", "a.png"], "lost.attn.safetensors: no such file"),
        (["attention", "bad.attn.safetensors", "--out", "a.png"], "bad.attn.safetensors: not a whole file"),
        (["attention", "one.attn.safetensors", "--number", "5", "--out", "a.png"], "holds 1 attention maps"),
        (["attention", "one.attn.safetensors", SENTENCE, "--out", "a.png"], "the sentence is for models"),
        (
            ["attention", "one.attn.safetensors", "--translation", "x", "--out", "a.png"],
            "--translation is for models",
        ),
        (["attention", "model", SENTENCE, "--number", "1", "--out", "a.png"], "--number chooses a map of a"),
        (["curves", "nowhere", "--out", "a.png"], "no such training log"),
        (["curves", "trained", "--out", "a.png"], "trained/training_log.jsonl: no such training log"),
        (["curves", "trained", "--out", "a.jpeg"], "the extension .jpeg names no image format"),
        (["curves", "log.jsonl", "--x", "miles", "--out", "a.png"], "step, epoch, seconds, not 'miles'"),
        (["curves", "damaged.jsonl", "--out", "a.png"], "damaged.jsonl: line 1 is not a record"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("drawn")
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trained").mkdir()
    (tmp_path / "trained" / "config.json").write_text("{}")
    (tmp_path / "bad.attn.safetensors").write_bytes(b"\0" * 20)
    (tmp_path / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    (tmp_path / "damaged.jsonl").write_text('oh no\n{"step": 1}\n')
    saved(tmp_path / "one.attn.safetensors")
    before = {path.name for path in tmp_path.iterdir()}
    assert run("plot", *arguments) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == before


def test_a_missing_glyph_is_one_line_of_warning_and_the_picture_is_made(tmp_path, drawn, capsys):
    out = tmp_path / "a.png"
    sentence = "I \U00016a40"
    assert run("plot", "attention", "model", sentence, "--out", out) == 0
    assert out.is_file()
    shown = capsys.readouterr().err.splitlines()
    assert [line for line in shown if not line.startswith("shisen: warning: no installed font shows")] == []
    assert len(shown) <= 1  # none where a font of the machine has the character


@pytest.mark.parametrize("attention", ["bahdanau", "none"])
def test_a_model_on_disk_is_drawn_whatever_its_attention(tmp_path, attention):
    from shisen.data.config import TokenizerConfig
    from shisen.data.tokenizer import Tokenizer
    from shisen.model_directory import save_model
    from shisen.models import build_model
    from shisen.models.config import RecurrentConfig

    config = TokenizerConfig(kind="word", minimum_frequency=1)
    source = Tokenizer.train(["I love deep learning", "the cat sat"], config)
    target = Tokenizer.train(["私 は 深層 学習 が 好き です", "猫 が 座った"], config)
    sizes = RecurrentConfig(attention=attention, embedding_size=4, hidden_size=4)
    model = build_model(sizes, len(source), len(target))
    save_model(tmp_path / "model", model, source, target, {"model": sizes.model_dump()}, {"beam_size": 2})
    out = tmp_path / "a.svg"
    arguments = ["plot", "attention", tmp_path / "model", SENTENCE]
    assert run(*arguments, "--translation", "猫 が 座った", "--out", out) == 0
    assert run(*arguments, "--out", tmp_path / "own.png") == 0
    assert out.read_bytes().startswith(b"<?xml")
    assert (tmp_path / "own.png").stat().st_size > 3000


def test_each_kind_of_a_transformers_attention_is_drawn(tmp_path):
    from small_model import SOURCES, save_small_transformer

    model = save_small_transformer(tmp_path / "model")
    for kind in ("cross", "encoder", "decoder"):
        out = tmp_path / f"{kind}.svg"
        assert run("plot", "attention", model, SOURCES[0], "--kind", kind, "--layer", "1", "--out", out) == 0
        assert out.stat().st_size > 3000
