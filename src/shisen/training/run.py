"""A run from the configuration to the model directory."""

import logging
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import torch
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.plugins.environments import LightningEnvironment
from torch import nn

from shisen import __version__, model_directory
from shisen.attention.normalization import check_function
from shisen.data.batches import BucketedBatches
from shisen.data.corpus import TokenizedCorpus
from shisen.errors import RunError, UserError, is_out_of_memory
from shisen.files import write_atomically
from shisen.models import build_model
from shisen.training import machine
from shisen.training.checkpoints import SafetensorsCheckpointIO
from shisen.training.config import Config
from shisen.training.data import load_data
from shisen.training.log import TrainingLog
from shisen.training.loop import TrainingLoop, signals_restored
from shisen.training.model_card import CardFacts, model_card
from shisen.training.progress import Display, open_display
from shisen.training.run_directory import RunDirectory
from shisen.training.snapshots import Snapshots
from shisen.training.state import RunState
from shisen.training.stream import BatchStream
from shisen.training.task import TranslationTask
from shisen.training.text_validation import TextValidator
from shisen.training.validation import LONGEST_TRANSLATED, Validator

# How to decode unless told otherwise.
_TRANSLATION = {"beam_size": 5, "length_penalty": 1.0, "max_length": None, "max_length_ratio": 2.0}
_CONTINUATION = {"max_length": 100, "temperature": 1.0, "top_k": 0, "top_p": 1.0, "length_penalty": 1.0}


class TrainingInterrupted(RunError):  # noqa: N818  (not an error: it was asked for)
    """The user or the system asked the run to stop; it was saved."""

    exit_code = 130


def train(
    config: Config, out: Path, resume: bool = False, quiet: bool = False, command: str | None = None
) -> Path:
    """Train a model and write its model directory.

    Args:
        config: What to learn from, what learns, how.
        out: The directory to write; new, empty, or with `resume` that of a run.
        resume: Go on from the last checkpoint. On a CPU with the same number of threads, the final parameters
            are to the bit those of a run that was never stopped.
        quiet: Show no progress.
        command: What the user typed, for the model card.

    Returns:
        The model directory.

    Raises:
        UserError: The configuration, the data or the directory cannot be used, or another process uses it.
        TrainingInterrupted: Ctrl-C or SIGTERM; a checkpoint was saved.
        RunError: The loss is no longer a number, the disk or the memory is full.
    """
    directory = RunDirectory(Path(out))
    _check_tensorboard(config)
    check_function(config.model.attention_function)
    if resume:
        directory.check(config)
    else:
        machine.resolve_device(config.training)  # before anything is written
        directory.begin(config)
    with directory.locked():
        state = directory.read_state() if resume else None
        if state is not None:
            state.judge(config.training, config.data.validation is not None)
        command = command or f"# shisen.training.run.train(…, {out})"
        run = _Run(config, directory, state, resume, quiet, command)
        try:
            return run.carry_out()
        except (RuntimeError, MemoryError) as error:
            if is_out_of_memory(error):
                raise _out_of_memory(config, run.validator) from error
            raise
        finally:
            run.display.close()


class _Run:
    """The parts of one run, put together."""

    def __init__(
        self,
        config: Config,
        directory: RunDirectory,
        state: RunState | None,
        resume: bool,
        quiet: bool,
        command: str,
    ):
        self.config = config
        self.directory = directory
        self.is_new = not resume
        self.saved_state = state
        self.command = command
        self.display: Display = open_display(quiet)
        self.validator: Validator | None = None
        self.kept_loss: float | None = None
        self.kept_bleu: float | None = None

    def carry_out(self) -> Path:
        """Prepare, train and finish; each only as far as it is not done already."""
        path = self.directory.path
        if self.saved_state is not None and self.saved_state.finished_by and self.directory.has_result:
            self.display.note(f"{path}: this run has ended, by {self.saved_state.finished_by}; nothing to do")
            return path
        has_cache = self.directory.cache.exists()
        try:
            self._set_up()
        except Exception:
            if self.is_new:
                self.directory.undo()
            elif not has_cache:
                self.directory.remove_cache()
            raise
        if not self.is_new:
            self.directory.go_on(self.config)
        if self.state.finished_by:
            self._load_last()
        elif self._fit().is_interrupted and not self.state.finished_by:
            self._export(f"those of step {self._load_best():,} of a run that was interrupted")
            raise TrainingInterrupted(
                f"stopped at step {self.state.step:,} and saved; go on with: {self.directory.resume_command}"
            )
        self._export(self._choose())
        self.directory.remove_cache()
        self.display.note(
            f"done after {self.state.step:,} updates, {self.state.seconds / 60:.1f} minutes, "
            f"by {self.state.finished_by}: {path}"
        )
        return path

    def _set_up(self) -> None:
        """Make everything that training needs: data, model, state."""
        training = self.config.training
        machine.keep_freed_memory()
        self.data = load_data(
            self.config.data,
            self.directory.cache,
            training.bleu_sentences,
            self.display.busy,
            self.config.is_one_text,
        )
        self.state = self._make_state()
        torch.set_num_threads(self.state.threads)
        self.batches = BucketedBatches(
            self.data.train, training.batch_size, training.batch_by, seed=training.seed
        )
        self.total_steps = self._count_steps()
        self.display.total_steps = self.total_steps
        seed_everything(training.seed, verbose=False)
        self.model: nn.Module = build_model(
            self.config.model, len(self.data.source_tokenizer), len(self.data.target_tokenizer)
        ).to(self.state.device)
        self.snapshots = Snapshots(self.directory.checkpoints)
        self.validator = self._make_validator()
        self._introduce()

    def _make_state(self) -> RunState:
        fingerprint = self.data.train.fingerprint
        saved = self.saved_state
        if saved is None:
            device = machine.resolve_device(self.config.training)
            precision = machine.resolve_precision(self.config.training, device)
            state = RunState(precision, device, machine.resolve_threads(self.config.training), fingerprint)
            state.judge(self.config.training, self.data.validation is not None)
            return state
        if saved.data_fingerprint != fingerprint:
            raise UserError(
                f"{self.directory.path}: the training data is not what the run was begun with (fingerprint "
                f"{fingerprint}, before {saved.data_fingerprint}); put it back, or begin a new run"
            )
        if saved.device == "cuda" and not torch.cuda.is_available():
            raise UserError(f"{self.directory.path}: the run was begun on a CUDA GPU, and there is none here")
        return saved

    def _make_validator(self) -> Validator | None:
        if self.data.validation is None:
            return None
        if self.config.is_one_text:
            lines = [line for _, line in self.data.sample]
            return TextValidator(
                self.data.validation, lines, self.data.target_tokenizer, self.state.precision
            )
        if self.config.training.metric == "bleu" and not self.data.sample:
            raise UserError(
                "training.metric bleu: every validation sentence that was to be translated has more than "
                f"{LONGEST_TRANSLATED:,} tokens; set training.metric to validation_loss, or shorten them"
            )
        return Validator(
            self.data.validation,
            self.data.sample,
            self.data.source_tokenizer,
            self.data.target_tokenizer,
            self.state.precision,
        )

    def _count_steps(self) -> int | None:
        """How many updates the run has at most; batches by tokens differ a little between epochs."""
        training = self.config.training
        limits = [] if training.max_steps is None else [training.max_steps]
        if training.max_epochs is not None:
            limits.append(training.max_epochs * self.batches.count(0))
        return min(limits, default=None)

    def _introduce(self) -> None:
        """Say what is about to happen, and what is written where."""
        data, state, note = self.data, self.state, self.display.note
        model = self.config.model
        note(f"shisen {__version__}: model, log and checkpoints go to {self.directory.path}")
        for role, reading in data.reading.items():
            note(f"{role} text: {reading}{_dropped(data.train) if role == 'train' else ''}")
        sizes = (len(data.source_tokenizer), len(data.target_tokenizer))
        sides = f"{sizes[1]:,}" if self.config.is_one_text else f"{sizes[0]:,} source and {sizes[1]:,} target"
        note(f"vocabulary: {sides} entries")
        note(
            f"model: {model}, {_parameters(self.model):,} parameters; {state.precision} on {state.device}, "
            f"{state.threads} {'thread' if state.threads == 1 else 'threads'}"
        )
        if self.saved_state is not None:
            note(f"going on after step {state.step:,} (epoch {state.epoch + 1})")
        elif not self.is_new:
            note("the run was stopped before its first checkpoint: it begins from the beginning")

    def _fit(self) -> TrainingLoop:
        """Train until a limit is reached or someone asks for a stop."""
        state, training = self.state, self.config.training
        log = TrainingLog(self.directory.log, self.directory.tensorboard if training.tensorboard else None)
        log.truncate(state.step)
        loop = TrainingLoop(
            training, state, self.validator, self.snapshots, log, self.display, self.directory.checkpoint
        )
        task = TranslationTask(self.model, training, state, self.total_steps)
        stream = BatchStream(self.batches, state.epoch, state.batch)
        checkpoint = self.directory.checkpoint if self.saved_state is not None else None
        try:
            with _lightning_in_silence(), signals_restored():
                trainer = Trainer(
                    accelerator="gpu" if state.device == "cuda" else "cpu",
                    devices=1,
                    max_epochs=-1,  # `TrainingLoop` stops
                    logger=False,
                    enable_checkpointing=False,
                    enable_progress_bar=False,
                    enable_model_summary=False,
                    default_root_dir=self.directory.path,
                    callbacks=[loop],
                    # The environment is named, so that a batch system's is not looked for.
                    plugins=[SafetensorsCheckpointIO(), LightningEnvironment()],
                )
                trainer.fit(task, stream, ckpt_path=checkpoint)
        finally:
            log.close()
        return loop

    def _load_last(self) -> None:
        """Give the model the last parameters of a run that ended, but was killed before it wrote them."""
        checkpoint = SafetensorsCheckpointIO().load_checkpoint(self.directory.checkpoint)
        task = TranslationTask(self.model, self.config.training, self.state, self.total_steps)
        task.load_state_dict(checkpoint["state_dict"])

    def _load_best(self) -> int:
        """Give the model the best parameters so far, or leave it the last ones; return their step."""
        state = self.state
        if state.best_step == 0:
            return state.step
        self.snapshots.load(state.best_step, self.model)
        self.kept_loss, self.kept_bleu = state.best_loss, state.best_bleu
        return state.best_step

    def _choose(self) -> str:
        """Give the model the parameters to keep, and say in words which they are."""
        state, steps = self.state, self.state.snapshot_steps
        if self.validator is None or state.best_step == 0:
            return f"the last, of step {state.step:,}"
        if len(steps) > 1:
            self.display.busy("averaging")
            self.snapshots.load_average(steps, self.model)
            average = self.validator(self.model)
            bleu = "" if average.bleu is None else f", BLEU {average.bleu:.2f}"
            measured = f"average of {len(steps)} validations: perplexity {average.perplexity:.2f}{bleu}"
            if math.isfinite(average.loss) and state.is_better(
                average.loss, average.bleu, self.config.training
            ):
                self.display.note(f"{measured}; kept, since it is better than the best of them")
                self.kept_loss, self.kept_bleu = average.loss, average.bleu
                return (
                    f"the average of the last {len(steps)} validations (steps {steps[0]:,} to {steps[-1]:,})"
                )
            self.display.note(f"{measured}; not kept, since step {state.best_step:,} is better")
        self._load_best()
        return f"the best of all validations, of step {state.best_step:,}"

    def _export(self, kept: str) -> None:
        """Write the model directory with the parameters that the model has now."""
        data, path = self.data, self.directory.path
        self.directory.card.unlink(missing_ok=True)  # it is written last: where it is, the rest is whole
        model_directory.save_model(
            path,
            self.model,
            data.source_tokenizer,
            data.target_tokenizer,
            self.config.model_dump(mode="json"),
            _CONTINUATION if self.config.is_one_text else _TRANSLATION,
        )
        facts = CardFacts(
            command=self.command,
            parameters=_parameters(self.model),
            kept=kept,
            validation_loss=self.kept_loss,
            bleu=self.kept_bleu,
            bleu_sentences=len(data.sample),
            signature=self.validator.signature if self.validator and self.kept_bleu is not None else None,
            training_pairs=len(data.train),
            dropped=data.train.dropped,
            skipped=data.skipped,
            validation_pairs=len(data.validation) if data.validation else 0,
            vocabulary_sizes=(len(data.source_tokenizer), len(data.target_tokenizer)),
            fingerprint=model_directory.fingerprint(path),
        )
        write_atomically(self.directory.card, model_card(self.config, self.state, facts))


def _parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _dropped(corpus: TokenizedCorpus) -> str:
    if not corpus.dropped:
        return ""
    return f"; left out: {', '.join(f'{count:,} {reason}' for reason, count in corpus.dropped.items())}"


def _check_tensorboard(config: Config) -> None:
    if config.training.tensorboard and find_spec("tensorboard") is None:
        raise UserError(
            'training.tensorboard needs the package tensorboard: pip install "shisen[tensorboard]"'
        )


def _out_of_memory(config: Config, validator: Validator | None) -> RunError:
    training = config.training
    advice = (
        f"lower training.batch_size (now {training.batch_size} {training.batch_by}), data.max_length or the "
        "model's sizes"
    )
    if validator is not None and validator.longest > config.data.max_length:
        advice += (
            "; or leave long pairs out of the validation text, to which data.max_length does not apply: its "
            f"longest has {validator.longest:,} pieces"
        )
    return RunError(f"out of memory; {advice}. The last checkpoint is kept")


@contextmanager
def _lightning_in_silence() -> Iterator[None]:
    """Keep Lightning's remarks on its own settings, which are no news to the user, off the terminal."""
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
