"""The batches of all epochs as one endless stream, each with its place, from any place on."""

from collections.abc import Iterator
from typing import NamedTuple

from shisen.data.batches import Batch, BucketedBatches


class PlacedBatch(NamedTuple):
    """A batch, and where the stream stands once it is done."""

    batch: Batch
    epoch: int
    """The number of the pass over the data that it belongs to, from 0."""
    next_epoch: int
    """The pass that the next batch belongs to."""
    next_batch: int
    """The number of the next batch in its pass, from 0."""


class BatchStream:
    """What Lightning iterates over.

    Lightning's own epochs are not used: its counters go wrong when a run goes on in the middle of one, and a
    place that travels with each batch cannot.

    Args:
        batches: The batches of any epoch.
        epoch: The pass to begin with.
        batch: The batch of that pass to begin with.
    """

    def __init__(self, batches: BucketedBatches, epoch: int = 0, batch: int = 0):
        self.batches = batches
        self.epoch = epoch
        self.batch = batch

    def __iter__(self) -> Iterator[PlacedBatch]:
        """Yield batches without end."""
        epoch, start = self.epoch, self.batch
        while True:
            count = self.batches.count(epoch)
            for index, batch in enumerate(self.batches.epoch(epoch, start), start + 1):
                is_last = index == count
                yield PlacedBatch(batch, epoch, epoch + is_last, 0 if is_last else index)
            epoch, start = epoch + 1, 0
