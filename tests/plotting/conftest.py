"""No warning of a figure passes unseen."""

import pytest


@pytest.fixture(autouse=True)
def _warnings_are_errors(recwarn):
    yield
    assert [str(warning.message) for warning in recwarn] == []
