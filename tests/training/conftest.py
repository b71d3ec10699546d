"""A task that is learned in seconds: the words of a sentence in reverse order and in capitals."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from shisen.training.config import Config
from shisen.training.config_file import load_config

TINY_MODEL = {"embedding_size": 8, "hidden_size": 8, "dropout": 0.2}


def write_pairs(folder: Path, name: str, count: int, seed: int) -> dict[str, str]:
    rng = random.Random(seed)
    sources = [
        " ".join(rng.choices(["a", "b", "c", "d", "e", "f", "g"], k=rng.randint(1, 6))) for _ in range(count)
    ]
    targets = [" ".join(reversed(source.upper().split())) for source in sources]
    paths = {side: folder / f"{name}.{side}" for side in ("source", "target")}
    paths["source"].write_text("".join(f"{line}\n" for line in sources), "utf-8")
    paths["target"].write_text("".join(f"{line}\n" for line in targets), "utf-8")
    return {side: str(path) for side, path in paths.items()}


@pytest.fixture
def config_path(tmp_path: Path) -> Path:
    """A configuration file of a run that takes about a second."""
    values = {
        "data": {
            "train": write_pairs(tmp_path, "train", 120, seed=1),
            "validation": write_pairs(tmp_path, "validation", 20, seed=2),
            "tokenizer": {"kind": "word"},
        },
        "model": TINY_MODEL,
        "training": {
            "batch_size": 8,  # 15 batches an epoch
            "learning_rate": 0.01,
            "max_epochs": 3,
            "validation_interval": 10,
            "log_interval": 4,
            "bleu_sentences": 5,
            "average_last": 2,
            "threads": 1,
            "device": "cpu",
        },
    }
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump(values), "utf-8")
    return path


@pytest.fixture
def configure(config_path: Path) -> Callable[..., Config]:
    """Return the configuration with keys set over it: ``configure("training.max_steps=5")``."""
    return lambda *overrides: load_config(config_path, overrides)
