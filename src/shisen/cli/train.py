"""Stub, replaced by its owner."""


def train() -> None:
    """To come."""
