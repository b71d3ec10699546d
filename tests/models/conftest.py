"""The batch that the tests of the models share."""

import pytest
from small_networks import Pairs, padded_pairs


@pytest.fixture
def batch() -> Pairs:
    return padded_pairs()
