"""Parameters as they were at single steps: the best, and the last few, of which the average may be better."""

import re
from collections.abc import Collection, Iterable
from pathlib import Path

import torch
from torch import nn

from shisen.model_directory import read_parameters, write_parameters

_NAME = re.compile(r"parameters-(\d+)\.safetensors")


class Snapshots:
    """Files of parameters in a folder, one a step.

    A run that goes on from a checkpoint takes the same snapshots again, to the bit; so one that is newer than
    the checkpoint does no harm, and one that it names is deleted only after a newer checkpoint.
    """

    def __init__(self, folder: Path):
        self.folder = folder

    def path(self, step: int) -> Path:
        """Return the file of a step's parameters."""
        return self.folder / f"parameters-{step}.safetensors"

    def save(self, step: int, model: nn.Module) -> None:
        """Keep a network's parameters as those of a step."""
        write_parameters(self.path(step), model)

    def load(self, step: int, model: nn.Module) -> None:
        """Give a network the parameters of a step."""
        read_parameters(self.path(step), model)

    def keep_only(self, steps: Collection[int]) -> None:
        """Delete the snapshots of all other steps."""
        for path in self.folder.iterdir():
            match = _NAME.fullmatch(path.name)
            if match and int(match[1]) not in steps:
                path.unlink()

    def load_average(self, steps: Iterable[int], model: nn.Module) -> None:
        """Give a network the mean of the parameters of some steps; what is no float is the last's."""
        means: dict[str, torch.Tensor] = {}
        for count, step in enumerate(steps, start=1):
            self.load(step, model)
            for name, tensor in model.state_dict().items():
                if not tensor.is_floating_point():
                    continue
                mean = means.setdefault(name, torch.zeros_like(tensor, dtype=torch.float64))
                mean += (tensor.double() - mean) / count
        model.load_state_dict(model.state_dict() | means)
