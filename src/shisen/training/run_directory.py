"""The directory of a run: what lies where, whether it may be used, what a run that goes on finds in it."""

import contextlib
import json
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open

from shisen.errors import RunError, UserError
from shisen.files import leftovers, write_atomically
from shisen.model_directory import PARAMETERS
from shisen.training.config import Config
from shisen.training.config_file import changed_keys, dump_config, load_config
from shisen.training.lock import locked
from shisen.training.state import LIMITS, RunState

# What may be changed when a run goes on: when it ends, and when it saves.
_CHANGEABLE = {
    *(f"training.{limit}" for limit in LIMITS),
    "training.checkpoint_minutes",
    "training.checkpoint_steps",
}


class RunDirectory:
    """The output directory of a run, which becomes the model directory.

    Args:
        path: The directory; it need not be there yet.
    """

    def __init__(self, path: Path):
        self.path = path
        self.config = path / "config.yaml"
        self.checkpoints = path / "checkpoints"
        self.checkpoint = self.checkpoints / "last.safetensors"
        self.log = path / "training_log.jsonl"
        self.tensorboard = path / "tensorboard"
        self.card = path / "README.md"
        self.cache = path / "cache"
        self._made: list[Path] = []

    @property
    def resume_command(self) -> str:
        """Return what to type to go on."""
        return shlex.join(["shisen", "train", "--out", str(self.path), "--resume"])

    def begin(self, config: Config) -> None:
        """Claim the directory for a new run.

        Raises:
            UserError: It holds a run or anything else; nothing is touched.
        """
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"--out {self.path} is a file; name a new directory")
        if self.config.exists() and self.checkpoints.is_dir():
            raise UserError(
                f"{self.path} already holds a run; go on with --resume, or name another directory with --out"
            )
        try:
            if self.path.exists() and any(self.path.iterdir()):
                raise UserError(f"--out {self.path} is not empty; name a new directory")
            if not self.path.exists():
                self.path.mkdir(parents=True)
                self._made = [self.path]
            self.checkpoints.mkdir()
            self._made += [self.checkpoints, self.config, self.cache]
        except OSError as error:
            raise UserError(f"--out {self.path} cannot be made: {error.strerror}") from error
        self._write_config(config)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other processes off the run while the block runs; the lock ends with the process.

        Raises:
            UserError: Another process is at work on the run.
        """
        with contextlib.suppress(OSError):  # which the first file that is written there will report
            self.checkpoints.mkdir(exist_ok=True)
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(locked(self.checkpoints / "lock"))
            except BlockingIOError:
                raise UserError(
                    f"{self.path}: another process is training this run; wait until it ends, or stop it"
                ) from None
            yield

    def check(self, config: Config) -> None:
        """Check that a run that was begun before can go on; nothing is written.

        Args:
            config: What it is to go on with.

        Raises:
            UserError: There is no run, or it was begun with another configuration.
        """
        before = self.read_config()
        changed = [key for key in changed_keys(before, config) if key not in _CHANGEABLE]
        if changed:
            raise UserError(
                f"{self.path} was begun with another configuration; changed: {', '.join(changed)}. "
                f"--resume goes on with the same ({self.config}); only limits and checkpoints may differ"
            )

    def go_on(self, config: Config) -> None:
        """Make the directory that of a run under way again, once it is sure that it goes on.

        Args:
            config: What it goes on with.

        Raises:
            RunError: It cannot be written.
        """
        try:
            self.card.unlink(missing_ok=True)  # what it tells of is no longer the run's result
            for folder in (self.path, self.checkpoints):
                for path, _ in leftovers(folder):
                    path.unlink(missing_ok=True)
        except OSError as error:
            raise RunError(f"{self.path}: cannot write here: {error.strerror}") from error
        write_atomically(self.config, dump_config(config))

    def read_config(self, overrides: list[str] | None = None) -> Config:
        """Return the configuration that the run was begun with, with keys set over it.

        Raises:
            UserError: There is no run here.
        """
        if not self.config.is_file():
            raise UserError(f"{self.path} holds no run to resume (it has no config.yaml)")
        return load_config(self.config, overrides or [])

    def read_state(self) -> RunState | None:
        """Return where the run stood at its last checkpoint; None if it was stopped before the first.

        Raises:
            UserError: The checkpoint is damaged.
        """
        if not self.checkpoint.exists():
            return None
        from shisen.training.checkpoints import HEADER, unpack

        try:
            with safe_open(self.checkpoint, framework="pt") as file:
                run = unpack(json.loads((file.metadata() or {})[HEADER])["run"], {})
        except (SafetensorError, OSError, KeyError, ValueError) as error:
            raise UserError(f"{self.checkpoint} cannot be read as a checkpoint ({error})") from error
        # A checkpoint of before it held the limits was made with those of the configuration.
        limits = self.read_config().training.model_dump(include=set(LIMITS))
        return RunState.from_dict({"limits": limits, **run}, str(self.checkpoint))

    @property
    def has_result(self) -> bool:
        """Whether the model of a run that has ended is there, and whole.

        The card is written last, and the cache goes after it; a run that was interrupted keeps its cache.
        """
        return (self.path / PARAMETERS).is_file() and self.card.is_file() and not self.cache.exists()

    def undo(self) -> None:
        """Remove what `begin` made, when the run did not get as far as training."""
        for path in reversed(self._made):
            if path.is_file():
                path.unlink(missing_ok=True)
            else:
                shutil.rmtree(path, ignore_errors=True)

    def remove_cache(self) -> None:
        """Remove the tokenised corpus, which only training needs."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def _write_config(self, config: Config) -> None:
        try:
            write_atomically(self.config, dump_config(config))
        except RunError:
            self.undo()
            raise
