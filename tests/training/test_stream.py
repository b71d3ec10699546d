from itertools import islice

import torch

from shisen.data.batches import Batch, BucketedBatches
from shisen.training.stream import BatchStream


class ThreeBatches(BucketedBatches):
    """Epochs of three batches; a batch tells its epoch and number as its index."""

    def __init__(self):
        pass

    def count(self, epoch: int) -> int:
        return 3

    def epoch(self, number: int, start: int = 0):
        for index in range(start, 3):
            empty = torch.zeros(1, 2, dtype=torch.int64)
            yield Batch(empty, empty, torch.tensor([10 * number + index]))


def places(epoch: int, batch: int, count: int) -> list[tuple[int, int, int, int]]:
    stream = BatchStream(ThreeBatches(), epoch, batch)
    return [
        (int(placed.batch.indices), placed.epoch, placed.next_epoch, placed.next_batch)
        for placed in islice(stream, count)
    ]


def test_each_batch_knows_where_to_go_on():
    assert places(0, 0, 4) == [(0, 0, 0, 1), (1, 0, 0, 2), (2, 0, 1, 0), (10, 1, 1, 1)]


def test_a_stream_that_goes_on_anywhere_gives_what_the_whole_would():
    whole = places(0, 0, 9)
    for done in range(1, 8):
        _, _, epoch, batch = whole[done - 1]
        assert places(epoch, batch, 9 - done) == whole[done:]
