"""Stub, replaced by its owner."""


def compare_systems() -> None:
    """To come."""
