"""What a transformers model reads: texts or images as tensors, and what each position is called."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from shisen.adapters.readable_tokens import readable_tokens
from shisen.errors import UserError

#: Tokenizers that know no limit say a number far above this.
_NO_LIMIT = 10**9


@dataclass(frozen=True)
class Sides:
    """What turns a text or image into what the model reads, and what the model writes into text."""

    reader: Any
    writer: Any

    @classmethod
    def of(cls, tokenizer: Any) -> Sides:
        """The two sides of a tokenizer, an image processor, a processor that has both, or a pair."""
        if isinstance(tokenizer, (tuple, list)):
            if len(tokenizer) != 2:
                raise UserError(
                    f"a pair (what reads, what writes) is expected, not {len(tokenizer)} tokenizers"
                )
            return cls(*tokenizer)
        if hasattr(tokenizer, "image_processor") and hasattr(tokenizer, "tokenizer"):
            return cls(tokenizer.image_processor, tokenizer.tokenizer)
        if not callable(tokenizer):
            raise UserError(
                "a tokenizer or image processor of transformers is expected, "
                f"not a {type(tokenizer).__name__}"
            )
        return cls(tokenizer, tokenizer)

    @property
    def reads_images(self) -> bool:
        """Whether what goes in is a picture."""
        return not hasattr(self.reader, "convert_ids_to_tokens")


@dataclass(frozen=True)
class Reading:
    """One text or image as the model reads it.

    Attributes:
        inputs: By the name of the model's argument, without the axis of the batch.
        tokens: What each position is called; None of an image, whose positions the model makes.
    """

    inputs: Mapping[str, Tensor]
    tokens: tuple[str, ...] | None


def read_text(model: Any, tokenizer: Any, text: Any, number: int) -> Reading:
    """A text, with the special tokens that belong to it.

    Raises:
        UserError: It has more tokens than the model has positions.
    """
    if not isinstance(text, str):
        raise UserError(f"text {number}: a string is expected, not a {type(text).__name__}")
    encoded = tokenizer(text, truncation=False, verbose=False)
    ids = encoded["input_ids"]
    limit = positions_of(model.config, tokenizer)
    if len(ids) > limit:
        raise UserError(f"text {number}: {len(ids):,} tokens; the model reads {limit:,} at most (shorten it)")
    known = inspect.signature(model.forward).parameters
    inputs = {name: torch.tensor(values) for name, values in encoded.items() if name in known}
    return Reading(inputs, source_tokens(tokenizer, ids))


def positions_of(config: Any, tokenizer: Any) -> int:
    """The most tokens that a side of a model reads; relative positions have no end."""
    limits = [getattr(tokenizer, "model_max_length", None), getattr(config, "max_position_embeddings", None)]
    return min((limit for limit in limits if isinstance(limit, int) and limit > 0), default=_NO_LIMIT)


def source_tokens(tokenizer: Any, ids: Sequence[int]) -> tuple[str, ...]:
    """The tokens of what a model reads; a Marian tokenizer of two vocabularies names only the target's."""
    if getattr(tokenizer, "separate_vocabs", False):
        words = {number: word for word, number in tokenizer.encoder.items()}
        return tuple(words[number] for number in ids)
    return readable_tokens(tokenizer, ids)


def read_image(processor: Any, image: Any, number: int) -> Reading:
    """A picture: an image of Pillow, an array, or the path of a file."""
    image = _opened(image, number)
    try:
        pixels = processor(images=image, return_tensors="pt")["pixel_values"]
    except (ValueError, TypeError) as error:
        raise UserError(f"image {number}: {type(processor).__name__} cannot read it: {error}") from None
    if len(pixels) != 1:
        raise UserError(f"image {number}: one picture is expected, not {len(pixels)}")
    return Reading({"pixel_values": pixels[0]}, None)


def _opened(image: Any, number: int) -> Any:
    """The picture in a file in colours, where a path is given."""
    if not isinstance(image, (str, os.PathLike)):
        return image
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(image) as opened:
            return opened.convert("RGB")
    except FileNotFoundError:
        raise UserError(f"image {number}: there is no file {image}") from None
    except (UnidentifiedImageError, OSError, Image.DecompressionBombError):
        raise UserError(f"image {number}: {image} is no picture that can be read") from None


def patch_names(model: Any, pixels: Tensor, positions: int) -> tuple[tuple[str, ...], dict[str, int]]:
    """What the positions of an image are called, and where its patches are.

    A patch is called by its row and column from the top left, ``0,0 0,1 …``; before the patches are tokens of
    the model's own, ``[CLS]`` first.

    Args:
        model: It says how large a patch is.
        pixels: ``[channels, height, width]``.
        positions: How many there are.

    Returns:
        The names, and ``patch_rows``, ``patch_columns`` and ``first_patch`` as metadata; where a model's
        positions are no grid of patches, numbers and nothing.
    """
    size = getattr(getattr(model.config, "encoder", model.config), "patch_size", None)
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    rows, columns = (pixels.shape[-2] // height, pixels.shape[-1] // width) if height and width else (0, 0)
    before = positions - rows * columns
    if rows * columns == 0 or before < 0:
        return tuple(map(str, range(positions))), {}
    own = ["[CLS]", *(f"[REG{i}]" for i in range(1, before))][:before]
    names = (*own, *(f"{row},{column}" for row in range(rows) for column in range(columns)))
    return names, {"patch_rows": rows, "patch_columns": columns, "first_patch": before}


def batch_of(readings: Sequence[Mapping[str, Tensor]], padding: Mapping[str, int]) -> dict[str, Tensor]:
    """Several inputs side by side, the shorter ones filled up at the end.

    Args:
        readings: Of each text or image its inputs.
        padding: What an input is filled up with; 0 where it is not named.
    """
    return {
        name: torch.nn.utils.rnn.pad_sequence(
            [one[name] for one in readings], batch_first=True, padding_value=padding.get(name, 0)
        )
        for name in readings[0]
    }
