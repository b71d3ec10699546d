"""Greedy decoding with onnxruntime alone: what `shisen export --to onnx` wrote, run without PyTorch.

    encoder        source [batch, keys]                -> memory…, state…
    decoder_step   previous [batch], memory…, state…   -> logits, attention, next state…

It is also the example to follow in another language: ``shisen_export.json`` names the tensors.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

from shisen.data.tokenizer import Tokenizer
from shisen.errors import UserError
from shisen.export.manifest import check_details, read_manifest

Tensors = dict[str, np.ndarray]


@dataclass(frozen=True)
class Step:
    """What one step gives."""

    logits: Float[np.ndarray, "batch vocabulary"]
    attention: Float[np.ndarray, "batch layers heads keys"]
    state: Tensors


class OnnxModel:
    """An ONNX export: its two graphs and its tokenizers.

    >>> model = OnnxModel("runs/demo-onnx")  # doctest: +SKIP
    >>> model.translate(["I love deep learning"])  # doctest: +SKIP

    Args:
        directory: What `shisen export --to onnx` wrote.
        threads: Of arithmetic; 0: onnxruntime's own choice.

    Raises:
        UserError: onnxruntime is not installed, or the directory is another one or damaged.
    """

    def __init__(self, directory: str | Path, threads: int = 0) -> None:
        try:
            import onnxruntime
        except ImportError:
            raise UserError('running ONNX graphs needs an extra: pip install "shisen[onnx]"') from None
        directory = Path(directory)
        manifest = read_manifest(directory)
        if manifest.target != "onnx":
            raise UserError(f"{directory} was exported to {manifest.target}, not to onnx")
        kinds = {"memory": list, "state": list, "padding": int, "begin": int, "end": int}
        check_details(directory, manifest, kinds)
        self.memory_names: list[str] = manifest.details["memory"]
        self.state_names: list[str] = manifest.details["state"]
        self.padding, self.begin, self.end = (manifest.details[name] for name in ("padding", "begin", "end"))
        self.source_tokenizer = Tokenizer.load(directory / "source_tokenizer.json")
        self.target_tokenizer = Tokenizer.load(directory / "target_tokenizer.json")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._encoder, self._step = (
            _session(directory / name, options) for name in ("encoder.onnx", "decoder_step.onnx")
        )

    def encode(self, source: Int[np.ndarray, "batch keys"]) -> tuple[Tensors, Tensors]:
        """Read sentences, which end with </s> and padding: (memory, the state before any step)."""
        found = self._encoder.run([*self.memory_names, *self.state_names], {"source": source})
        memory = dict(zip(self.memory_names, found, strict=False))
        return memory, dict(zip(self.state_names, found[len(self.memory_names) :], strict=True))

    def step(self, previous: Int[np.ndarray, " batch"], memory: Tensors, state: Tensors) -> Step:
        """Read one token in every row; give the logits of the next one."""
        names = ["logits", "attention", *(f"next_{name}" for name in self.state_names)]
        read: dict[str, Any] = {"previous": previous, **memory, **state}
        given = {wanted.name: read[wanted.name] for wanted in self._step.get_inputs()}
        logits, attention, *now = self._step.run(names, given)
        return Step(logits, attention, dict(zip(self.state_names, now, strict=True)))

    def greedy(self, sources: Sequence[Sequence[int]]) -> list[list[int]]:
        """Take the likeliest token at every step, as `shisen.decoding.greedy` does.

        Args:
            sources: The ids of each sentence, the last that of </s>.

        Returns:
            The ids of each translation, the last that of </s>: at most 2 × the sentence's and 10 before it.
        """
        if not sources:
            return []
        longest = max(map(len, sources))
        source = np.array([[*ids] + [self.padding] * (longest - len(ids)) for ids in sources], np.int64)
        limits = np.array([2 * len(ids) + 10 for ids in sources])
        memory, state = self.encode(source)
        previous = np.full(len(sources), self.begin, np.int64)
        found: list[list[int]] = [[] for _ in sources]
        rows = np.arange(len(sources))  # the sentences that go on
        for number in range(int(limits.max()) + 1):
            step = self.step(previous, memory, state)
            logits = step.logits.copy()
            logits[:, [self.padding, self.begin]] = -np.inf
            previous = np.where(limits[rows] <= number, self.end, logits.argmax(-1)).astype(np.int64)
            for row, id in zip(rows, previous.tolist(), strict=True):
                found[row].append(id)
            goes_on: Bool[np.ndarray, " batch"] = previous != self.end
            if not goes_on.any():
                break
            rows, previous = rows[goes_on], previous[goes_on]
            memory = {name: part[goes_on] for name, part in memory.items()}
            state = {name: part[goes_on] for name, part in step.state.items()}
        return found

    def translate(self, texts: Sequence[str]) -> list[str]:
        """Translate sentences together, greedily; an empty one has an empty translation."""
        if isinstance(texts, str):
            raise UserError("translate wants a list of sentences, and was given one string")
        ids = self.source_tokenizer.encode_batch(texts)
        rows = [row for row, words in enumerate(ids) if words]
        found = self.greedy([[*ids[row], self.end] for row in rows])
        translations = [""] * len(texts)
        for row, words in zip(rows, found, strict=True):
            translations[row] = self.target_tokenizer.decode(words)
        return translations


def _session(path: Path, options: Any) -> Any:
    """A graph, loaded; onnxruntime itself refuses parameters in files outside the graph's folder."""
    import onnxruntime

    try:
        return onnxruntime.InferenceSession(str(path), options, ["CPUExecutionProvider"])
    except Exception as error:  # it raises a kind for each code of its own, which derive from Exception alone
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{path} cannot be loaded by onnxruntime ({reason}): export the model again"
        ) from error
