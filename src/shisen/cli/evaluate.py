"""Stub, replaced by its owner."""


def evaluate() -> None:
    """To come."""
