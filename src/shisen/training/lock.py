"""One process at a time: a lock that ends with the process that holds it."""

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file as a lock while the block runs, and remove it then.

    The lock is the system's and not the file's: it ends with the process, however that ends, and a file that
    a killed process left is in nobody's way. Where there is no such lock (Windows, some network file systems,
    a disk that cannot be written to) nothing is locked.

    Raises:
        BlockingIOError: Another process holds it.
    """
    held = _acquire(path)
    try:
        yield
    finally:
        if held is not None:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)  # while it is ours: nobody else's is removed
            os.close(held)


def _acquire(path: Path) -> int | None:
    """Return the open file that is locked; None where nothing can be."""
    if sys.platform == "win32":
        return None
    import fcntl

    while True:
        try:
            opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:
            return None  # whoever writes there will say what is wrong
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(opened)
            if isinstance(error, BlockingIOError):
                raise
            return None
        if _is_at(opened, path):
            return opened
        os.close(opened)  # the process that held it removed the file meanwhile; a new one counts


def _is_at(opened: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(opened), path.stat())
    except FileNotFoundError:
        return False
