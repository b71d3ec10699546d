import pytest
import torch
from torch import nn

from shisen.data.batches import Batch
from shisen.models import LossOutput
from shisen.training.config import TrainingConfig
from shisen.training.state import RunState
from shisen.training.stream import PlacedBatch
from shisen.training.task import NumericError, TranslationTask


class Constant(nn.Module):
    """A model whose gradient is known, and which remembers how it was asked."""

    def __init__(self, gradient: list[float]):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(len(gradient)))
        self.gradient = torch.tensor(gradient)
        self.penalty: torch.Tensor | None = None

    def loss(self, batch: Batch, **settings) -> LossOutput:
        self.settings = settings
        return LossOutput((self.weight * self.gradient).sum() * 4, 4, self.penalty)


def task(gradient: list[float], **settings) -> TranslationTask:
    state = RunState("bfloat16", "cpu", 1, "", step=4)
    return TranslationTask(Constant(gradient), TrainingConfig(**settings), state, None)


def batch() -> PlacedBatch:
    ids = torch.ones(2, 3, dtype=torch.int64)
    return PlacedBatch(Batch(ids, ids, torch.arange(2)), 0, 0, 1)


def test_the_loss_is_the_mean_over_target_tokens():
    run = task([2.0])
    run.model.weight.data.fill_(3.0)
    output = run.training_step(batch(), 0)
    assert (output["loss"], output["loss_sum"], output["tokens"]) == (6.0, 24.0, 4)


def test_a_penalty_is_made_small_with_the_loss_and_not_reported():
    run = task([2.0])
    run.model.weight.data.fill_(3.0)
    run.model.penalty = torch.tensor(8.0)
    output = run.training_step(batch(), 0)
    assert (output["loss"], output["loss_sum"]) == (8.0, 24.0)


def test_the_model_is_told_how_to_compute_its_loss():
    run = task(
        [1.0],
        label_smoothing=0.2,
        teacher_forcing_ratio=0.5,
        teacher_forcing_unit="sentence",
        teacher_forcing_schedule="linear",
        teacher_forcing_decay_steps=8,
    )
    run.training_step(batch(), 0)
    assert run.model.settings == {
        "label_smoothing": 0.2,
        "teacher_forcing_ratio": 0.25,  # the fifth update of eight
        "teacher_forcing_unit": "sentence",
        "precision": "bfloat16",
        "generator": run.generator,
    }


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(1.0, [0.6, 0.8]), (5.0, [3.0, 4.0]), (10.0, [3.0, 4.0]), (None, [3.0, 4.0])],
)
def test_longer_gradients_are_scaled_to_the_limit(limit, expected):
    run = task([3.0, 4.0], clip_gradient_norm=limit)
    run.training_step(batch(), 0)["loss"].backward()
    run.configure_gradient_clipping(run.configure_optimizers())
    assert run.gradient_norm == 5.0
    assert run.model.weight.grad.tolist() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_stops_before_the_parameters_are_spoilt(bad):
    run = task([1.0, bad])
    run.training_step(batch(), 0)["loss"].backward()
    with pytest.raises(NumericError, match=r"at step 5; lower training\.learning_rate"):
        run.configure_gradient_clipping(run.configure_optimizers())


@pytest.mark.parametrize(("name", "kind"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)])
def test_the_optimiser_is_the_one_that_is_asked_for(name, kind):
    optimizer = task([1.0], optimizer=name, weight_decay=0.1).configure_optimizers()
    assert type(optimizer) is kind
    assert optimizer.defaults["weight_decay"] == 0.1
    assert optimizer.defaults["fused"]


def test_random_numbers_go_on_where_the_checkpoint_left_them():
    run = task([1.0])
    torch.manual_seed(3)
    checkpoint: dict = {}
    run.on_save_checkpoint(checkpoint)
    expected = torch.rand(3), torch.rand(3, generator=run.generator)
    other = task([1.0])
    other.on_load_checkpoint(checkpoint)
    torch.rand(100), torch.rand(100, generator=other.generator)  # what set-up may use up
    other.on_train_start()
    assert torch.equal(torch.rand(3), expected[0])
    assert torch.equal(torch.rand(3, generator=other.generator), expected[1])
