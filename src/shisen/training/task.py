"""One step of learning on Lightning: the loss of a batch, its gradient clipped, the optimiser."""

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from shisen.errors import RunError
from shisen.training.config import TrainingConfig
from shisen.training.schedules import learning_rate, teacher_forcing_ratio
from shisen.training.state import RunState
from shisen.training.stream import PlacedBatch


class TranslationTask(LightningModule):
    """Any model with the method ``loss``, made to predict each target token from those before it.

    Args:
        model: The network.
        config: Optimiser, schedules, label smoothing, clipping.
        state: Where the run stands; its `step` decides the schedules. Others advance it.
        total_steps: Updates of the whole run, for schedules that end with it.
    """

    def __init__(self, model: nn.Module, config: TrainingConfig, state: RunState, total_steps: int | None):
        super().__init__()
        self.model: Any = model  # a Module with the method `loss`
        self.config = config
        self.state = state
        self.total_steps = total_steps
        self.gradient_norm: Tensor = torch.zeros(())
        # Which tokens the decoder reads is drawn from numbers of its own, so that it is the same whatever the
        # dropout is.
        self.generator = torch.Generator(state.device).manual_seed(config.seed)

    @property
    def learning_rate(self) -> float:
        """The learning rate of the next update."""
        return learning_rate(self.state.step + 1, self.config, self.total_steps, self.state.reductions)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam or AdamW over all parameters, in the fused form: one pass over memory."""
        kind = torch.optim.AdamW if self.config.optimizer == "adamw" else torch.optim.Adam
        return kind(
            self.model.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )

    def transfer_batch_to_device(self, batch: PlacedBatch, device: torch.device, _: int) -> PlacedBatch:
        """Move the tensors of a batch; on the CPU there is nothing to do."""
        return batch if device.type == "cpu" else batch._replace(batch=batch.batch.to(device))

    def on_train_batch_start(self, batch: PlacedBatch, batch_idx: int) -> None:
        """Set the learning rate of this update."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate

    def training_step(self, batch: PlacedBatch, batch_idx: int) -> dict[str, Any]:
        """Return the mean objective per target token, and the loss without penalty as a sum and a count."""
        output = self.model.loss(
            batch.batch,
            label_smoothing=self.config.label_smoothing,
            teacher_forcing_ratio=teacher_forcing_ratio(self.state.step + 1, self.config),
            teacher_forcing_unit=self.config.teacher_forcing_unit,
            precision=self.state.precision,
            generator=self.generator,
        )
        return {
            "loss": output.objective / output.tokens,
            "loss_sum": output.loss.detach(),
            "tokens": output.tokens,
        }

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """Measure the gradient's norm, and scale the gradient to `clip_gradient_norm` where it is longer.

        Raises:
            NumericError: The gradient is not finite. A GPU is not asked, since that would make it wait.
        """
        parameters = [parameter for parameter in self.model.parameters() if parameter.grad is not None]
        norm = get_total_norm([parameter.grad for parameter in parameters if parameter.grad is not None])
        self.gradient_norm = norm
        if norm.is_cpu and not math.isfinite(norm):
            raise NumericError(self.state.step + 1)
        limit = self.config.clip_gradient_norm
        if limit is not None and not (norm.is_cpu and norm <= limit):
            clip_grads_with_norm_(parameters, limit, norm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add where the run stands and the state of every source of random numbers."""
        checkpoint["run"] = self.state.to_dict()
        checkpoint["random"] = {
            "torch": torch.get_rng_state(),
            "teacher_forcing": self.generator.get_state(),
            "cuda": torch.cuda.get_rng_state() if self.state.device == "cuda" else None,
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the random numbers' state until training starts; what comes before must not use them up."""
        self._random = checkpoint["random"]

    def on_train_start(self) -> None:
        """Go on with the random numbers where the checkpoint left them."""
        random = getattr(self, "_random", None)
        if random is None:
            return
        torch.set_rng_state(random["torch"])
        self.generator.set_state(random["teacher_forcing"])
        if random["cuda"] is not None:
            torch.cuda.set_rng_state(random["cuda"])


class NumericError(RunError):
    """The loss or its gradient is no longer a number."""

    def __init__(self, step: int):
        super().__init__(
            f"the loss or its gradient became infinite or not a number at step {step}; lower "
            "training.learning_rate or raise training.warmup_steps (or set training.precision to float32). "
            "The last checkpoint is kept"
        )
