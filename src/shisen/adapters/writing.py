"""What a transformers model writes, or is taken through: the tokens that it produces and those it reads."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from shisen.adapters.readable_tokens import readable_tokens
from shisen.adapters.reading import positions_of
from shisen.errors import UserError


@dataclass(frozen=True)
class Writing:
    """One text that a decoder produces.

    Attributes:
        read: The ids that the decoder reads.
        produced: For each of them the id that it produces after it; one less where nothing follows the last.
        metadata: What a map says about it.
    """

    read: tuple[int, ...]
    produced: tuple[int, ...]
    metadata: Mapping[str, str | int | float] = field(default_factory=dict)

    def names(self, writer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The tokens that are read and those that are produced, as people read them.

        All are spelled together: what is read is what was produced, one place later.
        """
        first, *rest = self.read
        tail = self.produced[len(rest) :]
        if tuple(rest) != self.produced[: len(rest)]:  # mBART's begin with the language that comes last
            return readable_tokens(writer, self.read), readable_tokens(writer, self.produced)
        tokens = readable_tokens(writer, [first, *rest, *tail])
        return tokens[: len(self.read)], tokens[1:]


def forced(model: Any, writer: Any, target: Any, number: int) -> Writing:
    """A given target: what the model would be trained with."""
    if not isinstance(target, str):
        raise UserError(f"target {number}: a string is expected, not a {type(target).__name__}")
    produced = writer(text_target=target, truncation=False, verbose=False)["input_ids"]
    if not produced:
        raise UserError(f"target {number}: the tokenizer finds no token in it")
    limit = positions_of(getattr(model.config, "decoder", model.config), writer)
    if len(produced) > limit:
        raise UserError(f"target {number}: {len(produced):,} tokens; the model reads {limit:,} at most")
    if hasattr(model, "prepare_decoder_input_ids_from_labels"):
        read = model.prepare_decoder_input_ids_from_labels(labels=torch.tensor([produced]))[0].tolist()
    else:
        read = [_start_of(model), *produced[:-1]]
    return Writing(tuple(read), tuple(produced))


def _start_of(model: Any) -> int:
    """What a decoder reads first."""
    settings = (
        getattr(model, "generation_config", None),
        model.config,
        getattr(model.config, "decoder", None),
    )
    for name in ("decoder_start_token_id", "bos_token_id"):
        for setting in settings:
            start = getattr(setting, name, None)
            if start is not None:
                return int(start)
    raise UserError(
        f"{type(model).__name__} does not say what its decoder reads first (decoder_start_token_id)"
    )


def generated(
    model: Any, writer: Any, batch: Mapping[str, Any], options: Mapping[str, Any], prompt: int | None
) -> list[Writing]:
    """What the model writes by itself, the best hypothesis of each sentence.

    Args:
        model: It computes as it likes: the weights are formed when it is taken through what it wrote.
        writer: What turns ids into text.
        batch: What it reads.
        options: Of ``model.generate``.
        prompt: Of a model that goes on with what it reads, how long that is. None: it has two sides.
    """
    if int(options.get("num_return_sequences") or 1) != 1:
        raise UserError("num_return_sequences is 1: a map is of one hypothesis, the best")
    if not model.can_generate():
        raise UserError(f"{type(model).__name__} generates no text: give a target that it is taken through")
    ends = _ends_of(model, options)
    output = model.generate(**{**batch, **options, "return_dict_in_generate": True})
    writings = []
    for ids in output.sequences.tolist():
        begin = prompt or 1  # the first id of a decoder is where it starts, and may be that of an end
        end = next((i + 1 for i in range(begin, len(ids)) if ids[i] in ends), len(ids))
        text = writer.decode(ids[begin:end], skip_special_tokens=True)
        about: dict[str, str | int] = {"output": text}
        if prompt is not None:
            about["prompt_tokens"] = prompt
        read = ids[:end] if prompt is not None else ids[: end - 1]
        writings.append(Writing(tuple(read), tuple(ids[1:end]), about))
    return writings


def _ends_of(model: Any, options: Mapping[str, Any]) -> Sequence[int]:
    """The ids that end a text."""
    settings = options.get("generation_config") or model.generation_config
    ends = options.get("eos_token_id", getattr(settings, "eos_token_id", None))
    if ends is None:
        return ()
    return [int(end) for end in (ends if isinstance(ends, Sequence) else [ends])]


def decoder_inputs(model: Any, writings: Sequence[Writing]) -> dict[str, Any]:
    """What the decoder is taken through, filled up at the end, where nothing before looks."""
    rows = [torch.tensor(writing.read) for writing in writings]
    pad = torch.nn.utils.rnn.pad_sequence
    inputs = {"decoder_input_ids": pad(rows, batch_first=True)}
    if "decoder_attention_mask" in inspect.signature(model.forward).parameters:
        ones = [torch.ones_like(row) for row in rows]
        inputs["decoder_attention_mask"] = pad(ones, batch_first=True)
    return inputs
