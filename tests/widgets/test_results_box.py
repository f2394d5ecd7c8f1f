"""What the panel says of sessions in a line."""

from __future__ import annotations

import pytest
from facts import session, turn, unstamped

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
