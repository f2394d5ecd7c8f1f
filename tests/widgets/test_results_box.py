"""What the panel says of sessions in a line, and what it hands over as files."""

from __future__ import annotations

import io
import zipfile
from dataclasses import replace

import pytest
from facts import saying, session, turn, unstamped

from rtkit.widgets.downloads import download
from rtkit.widgets.results_box import headline

LATE = [0.01 * i for i in range(10)]
FINAL = turn(0.66, ("goat", 0.1, 0.25), final=True, decided=500)


@pytest.mark.parametrize(
    ("stamped", "share"), [(True, "10%"), (False, "5% to 12%")]
)  # of 410 ms; chunk 4 decided, or any from 2 to 5
def test_the_senders_share_is_a_range_where_it_is_only_known_within_bounds(
    stamped: bool, share: str
) -> None:
    one = session(LATE, FINAL)
    told = headline({"a": one if stamped else unstamped(one)}, stopped=False)
    assert told.endswith(f"of a's turn latency the sender made {share} itself.")


def test_of_several_it_names_the_one_that_made_the_most() -> None:
    sessions = {"a": session([0.0] * 10, FINAL), "b": session(LATE, FINAL), "c": session(LATE)}
    assert "of b's turn latency the sender made 10% itself" in headline(sessions, stopped=False)
    assert "itself" not in headline({"c": sessions["c"]}, stopped=True)


def test_a_service_without_word_times_keeps_nobody_from_what_was_heard() -> None:
    timed = session([0.0] * 10, FINAL)
    untimed = saying(
        timed,
        lambda turn: replace(
            turn, words=tuple(replace(word, start=None, end=None) for word in turn.words)
        ),
    )
    name, content, _ = download("Captions", {"timed": timed, "untimed": untimed})
    assert name == "captions.zip"
    assert zipfile.ZipFile(io.BytesIO(content)).namelist() == [
        *("timed_heard.srt", "timed_heard.txt", "timed_heard.vtt", "untimed_heard.txt")
    ]
    name, content, media = download("Captions", {"untimed": untimed})
    assert (name, media) == ("untimed_heard.txt", "text/plain")
    assert b"goat" in content
