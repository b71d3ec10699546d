"""The device to compute on, by its name."""

import torch

from shisen.errors import UserError


def find_device(name: str | torch.device) -> torch.device:
    """Return the device of a name: ``cpu``, ``cuda``, ``cuda:1``.

    Raises:
        UserError: There is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"there is no device {str(name)!r} here ({reason})") from None
    return device
