import torch
from torch import nn

from shisen.training.snapshots import Snapshots


def network(value: float) -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(value)
    model[1].num_batches_tracked.fill_(int(value))
    return model


def test_the_average_is_the_mean_of_the_snapshots(tmp_path):
    snapshots = Snapshots(tmp_path)
    for step, value in ((10, 1.0), (20, 2.0), (30, 6.0)):
        snapshots.save(step, network(value))
    model = network(0.0)
    snapshots.load_average([10, 20, 30], model)
    assert all(torch.equal(parameter, torch.full_like(parameter, 3.0)) for parameter in model.parameters())
    assert model[1].num_batches_tracked == 6  # a count is not averaged


def test_only_the_named_snapshots_stay(tmp_path):
    snapshots = Snapshots(tmp_path)
    (tmp_path / "last.safetensors").touch()
    for step in (1, 10, 100):
        snapshots.save(step, network(step))
    snapshots.keep_only({10})
    assert {path.name for path in tmp_path.iterdir()} == {"last.safetensors", "parameters-10.safetensors"}
    model = network(0.0)
    snapshots.load(10, model)
    assert model[0].bias[0] == 10.0
