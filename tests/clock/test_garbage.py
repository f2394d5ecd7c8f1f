"""Older objects are out of the way for as long as any session needs it, and no longer."""

from __future__ import annotations

import gc
import threading

import pytest

from rtkit.clock.garbage import without_collecting, without_old_objects


def test_the_last_of_several_gives_them_back() -> None:
    before = gc.get_freeze_count()
    with without_old_objects:
        with pytest.raises(KeyError), without_old_objects:  # the second one fails, say
            raise KeyError
        assert gc.get_freeze_count() > before
    assert gc.get_freeze_count() <= before


def test_one_that_ends_in_another_thread_leaves_the_others_theirs() -> None:
    began, end = threading.Event(), threading.Event()

    def hold() -> None:
        with without_old_objects:
            began.set()
            assert end.wait(10)

    thread = threading.Thread(target=hold)
    with without_old_objects:
        thread.start()
        assert began.wait(10)
    frozen = gc.get_freeze_count()
    end.set()
    thread.join()
    assert frozen
    assert gc.get_freeze_count() < frozen


def test_collecting_goes_on_as_it_was() -> None:
    with without_collecting(), without_collecting():
        assert not gc.isenabled()
    assert gc.isenabled()
