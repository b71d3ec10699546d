"""A run that is killed with SIGKILL, and goes on."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from shisen.errors import UserError
from shisen.training.config_file import dump_config
from shisen.training.run import train

SETTINGS = (
    "training.max_epochs=10",  # 150 updates, so that there is time to kill it
    "training.checkpoint_steps=11",
    "training.patience=null",
    "training.schedule=plateau",
)


def steps_in(log: Path) -> list[int]:
    if not log.exists():
        return []
    return [json.loads(line)["step"] for line in log.read_text().splitlines() if line.endswith("}")]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL here")
def test_a_killed_run_goes_on_bit_for_bit(tmp_path, configure):
    config = configure(*SETTINGS)
    whole = train(config, tmp_path / "whole", quiet=True)
    (tmp_path / "kill.yaml").write_text(dump_config(config))

    killed = tmp_path / "killed"
    arguments = ["train", str(tmp_path / "kill.yaml"), "--out", str(killed)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen([sys.executable, "-m", "shisen", *arguments], env=environment) as process:
        try:
            deadline = time.monotonic() + 300
            while not any(step > 25 for step in steps_in(killed / "training_log.jsonl")):
                assert process.poll() is None, "the run ended by itself"
                assert time.monotonic() < deadline, "the run does not get going"
                time.sleep(0.002)
            if os.name == "posix":
                with pytest.raises(UserError, match=re.escape(f"{killed}: another process is training this")):
                    train(config, killed, resume=True, quiet=True)
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL
    assert not (killed / "model.safetensors").exists(), "it was killed too late for this test"

    resumed = train(config, killed, resume=True, quiet=True)
    for name, tensor in load_file(whole / "model.safetensors").items():
        assert torch.equal(tensor, load_file(resumed / "model.safetensors")[name]), name
    # No line is missing and none is there twice.
    logs = [steps_in(run / "training_log.jsonl") for run in (whole, resumed)]
    assert logs[0] == logs[1]
    assert not (resumed / "cache").exists()
    left = [{path.name for path in (run / "checkpoints").iterdir()} for run in (whole, resumed)]
    assert left[0] == left[1]
