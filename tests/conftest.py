"""What every test shares: shapes checked at run time, one thread, the place of the development corpora."""

import os
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

# Every function of shisen annotated with jaxtyping has its shapes and dtypes checked in the tests.
_hook = install_import_hook("shisen", "beartype.beartype")


def _data_folder() -> Path:
    here = Path(__file__).resolve().parents[1]
    return Path(os.environ.get("SHISEN_TEST_DATA", here.parent / "shared" / "data"))


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def real_data() -> Path:
    folder = _data_folder()
    if not folder.is_dir():
        pytest.skip("the development corpora are not here (set SHISEN_TEST_DATA to their folder)")
    return folder
