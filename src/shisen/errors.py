"""The errors that a user can cause: one family, one clear line each, an exit code each."""


class UserError(Exception):
    """Something the user can mend. The message is one line: what is wrong, where, and what to do."""

    exit_code = 2


class RunError(UserError):
    """Something that went wrong while a well-formed command ran: a full disk, a killed worker."""

    exit_code = 1


def is_out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out; PyTorch says so of a CPU's by a plain RuntimeError alone."""
    if isinstance(error, RuntimeError):
        return "can't allocate memory" in str(error) or "out of memory" in str(error)
    return isinstance(error, MemoryError)
