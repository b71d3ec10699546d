import errno

import pytest

from shisen.training.lock import locked

fcntl = pytest.importorskip("fcntl", reason="the system has no such locks")


def test_what_is_locked_cannot_be_locked_again_until_the_block_ends(tmp_path):
    path = tmp_path / "lock"
    with locked(path):
        with pytest.raises(BlockingIOError), locked(path):
            pass
        assert path.exists()
    assert not path.exists()
    with locked(path):
        pass


def test_an_error_inside_gives_the_lock_back(tmp_path):
    path = tmp_path / "lock"
    with pytest.raises(ValueError, match="inside"), locked(path):
        raise ValueError("inside")
    assert not path.exists()


def test_a_file_that_was_left_behind_is_in_nobodys_way(tmp_path):
    path = tmp_path / "lock"
    path.touch()
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        pass
    assert not path.exists()


def test_a_lock_on_a_file_that_was_just_removed_does_not_count(tmp_path, monkeypatch):
    path, flock, removed = tmp_path / "lock", fcntl.flock, []

    def flock_too_late(opened, operation):
        flock(opened, operation)
        if not removed:
            removed.append(path)
            path.unlink()

    monkeypatch.setattr(fcntl, "flock", flock_too_late)
    with locked(path), pytest.raises(BlockingIOError), locked(path):
        pass
    assert removed


def test_where_nothing_can_be_locked_nothing_is(tmp_path, monkeypatch):
    def refuse(opened, operation):
        raise OSError(errno.ENOLCK, "No locks available")

    entered = []
    with locked(tmp_path / "missing" / "lock"):
        entered.append("no folder")
    monkeypatch.setattr(fcntl, "flock", refuse)
    with locked(tmp_path / "lock"):
        entered.append("no locks")
    assert entered == ["no folder", "no locks"]
