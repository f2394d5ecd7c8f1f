"""A session whose figures say nothing of the service says so, why, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from conftest import simulate as in_virtual_time
from conftest import virtual_loop
from facts import CALL, converse, session, turn
from matplotlib.figure import Figure
from matplotlib.text import Text

from rtkit.analysis.checks.validity import Validity, _judged, validity
from rtkit.analysis.summary import summarize
from rtkit.audio import Level, open_clip
from rtkit.experiments.simulate import simulate
from rtkit.session import Ending, Fact, Message, Session, Stall
from rtkit.views.plots import plot_comparison, plot_lateness

ON_TIME = [0.0] * 10
SPEECH = '{"type": "SpeechStarted"}'  # known, and no result
HEARS = {"max_speed": 1.25}  # what the service says of itself
HELLO = turn(0.55, ("hello", 0.2, 0.4), final=True)  # held by chunk 3, decided by 3 or 4


def sent(lateness: Sequence[float] = ON_TIME, *messages: str, **changes: Any) -> Session:
    """A second of audio, a word of it answered, and then these messages at 1.1 s."""
    answers = [HELLO] if len(lateness) > 4 else []
    return session(lateness, *answers, *(Message(1.1, text) for text in messages), **changes)


def ended(at: float, calendar: float, slept: float | None = None) -> Session:
    return replace(sent(), ending=Ending("complete", at=at, calendar=calendar, slept=slept))


def leaving(seconds: float, *, left: float | None = None) -> Session:
    """A chunk's `send` took so long; its bytes left after `left` seconds, where that is known."""
    found = sent()
    first, *rest = found.chunks
    left = None if left is None else first.sent + left
    return replace(found, chunks=(replace(first, returned=first.sent + seconds, left=left), *rest))


def stalled(*seconds: float, before: float = 0.001, waited: float | None = None) -> Session:
    """The loop stalled for so long; a message was seen so many seconds after that."""
    found = sent()
    return replace(
        found,
        messages=(*found.messages, Message(1.1, SPEECH, waited=waited)),
        stalls=tuple(Stall(1.1 - before, stall) for stall in seconds),
    )


def terminated(received: int | None, audio: float = 1) -> str:
    said: dict[str, Any] = {
        "type": "Termination",
        "audio_duration_seconds": audio,
        "session_duration_seconds": 1,
    }
    if received is not None:
        said["loopback"] = {"bytes": received, "samples": 0}
    return json.dumps(said)


def names(one: Session, **bounds: float) -> list[str]:
    return [problem.name for problem in validity(one, **bounds).problems]


@pytest.mark.parametrize(
    ("one", "name", "shown", "fix"),
    [
        (sent(pacing="unpaced"), "unpaced", "not paced", "pacing='wall_clock'"),
        (sent(ending=None), "incomplete", "was cut off after 10 chunks", "again"),
        (sent(ending="stopped"), "incomplete", "stopped after 10 chunks", "again"),
        (sent([], ending="failed"), "incomplete", "failed after 0 chunks", "again"),
        (sent([0.0125] * 10), "late", "p99 is 12.5 ms (limit: 10 ms)", "isolation='process'"),
        (sent([-0.0125] * 10), "late", "p99 is 12.5 ms (limit: 10 ms)", "work per chunk"),
        (sent([0.02] * 20, seconds=0.05), "late", "20.0 ms (limit: 5 ms)", "work per chunk"),
        (
            sent([0.0125] * 10, pacing="fixed_sleep"),
            "late",
            "p99 is 12.5 ms",
            "pacing='wall_clock'",
        ),
        (
            stalled(0.02, 0.3),
            "stall",
            "a stall of the loop (2×), for up to 300 ms",
            "isolation='process'",
        ),
        (leaving(0.05), "backpressure", "took 50 ms to send, more than 10 ms", "network"),
        (ended(10.0, 3610.0), "clock", "moved +3600.0 s apart", "slept"),
        (ended(10.0, 11.1), "clock", "moved +1.1 s apart", "slept"),
        (ended(10_800.0, 10_806.5), "clock", "moved +6.5 s apart", "slept"),
        (ended(10.0, 10.0, slept=0.02), "clock", "the host slept for 0.0 s", "again"),
        (
            replace(sent(), messages=(Message(0.0, SPEECH, waited=0.011), HELLO)),
            "stall",
            "1 of 2 messages",
            "isolation='process'",
        ),
        (ended(10.0, 10.0, slept=3.2), "clock", "the host slept for 3.2 s", "again"),
        (sent(ON_TIME, terminated(1996)), "lost", "2000 bytes were sent, but 1996", "connection"),
        (sent(ON_TIME, "{", "["), "lost", "2 messages could not be read", "session.messages"),
    ],
)
def test_each_fault_has_a_name_a_figure_and_a_fix(
    one: Session, name: str, shown: str, fix: str
) -> None:
    found = validity(one)
    (problem,) = found.problems
    assert problem.name == name
    assert shown in problem.found
    assert fix in problem.fix
    assert not found
    assert str(found) == repr(found) == f"not valid: {problem.found}. {problem.fix}"


@pytest.mark.parametrize(
    "one",
    [
        sent(),
        sent([0.0099] * 10),
        sent(ON_TIME, terminated(2000)),
        sent(ON_TIME, terminated(None)),  # a service that does not count
        sent(ON_TIME, SPEECH),
        stalled(0.01),
        stalled(0.3, before=0.021),  # nothing had waited for its end
        stalled(0.3, before=-0.301),  # the message had come before
        leaving(0.009),
        ended(10.0, 10.2),
        ended(10.0, 9.8),
        ended(10.0, 11.0),
        ended(10_800.0, 10_806.3),
        ended(10.0, 10.0, slept=0.01),
        replace(sent(), messages=(Message(0.0, SPEECH, waited=0.01), HELLO)),
    ],
)
def test_what_is_within_bounds_is_valid(one: Session) -> None:
    found = validity(one)
    assert found.problems == ()
    assert found
    assert str(found) == "valid"


def test_a_perfect_session_is_valid_and_its_naive_twin_is_not() -> None:
    clip = open_clip(CALL, seconds=10)
    assert validity(simulate(clip, work=0.003))
    naive = validity(simulate(clip, work=0.003, pacing="fixed_sleep"))
    assert [problem.name for problem in naive.problems] == ["late"]


def test_every_fault_is_told() -> None:
    one = replace(
        leaving(0.05),
        settings=sent(pacing="unpaced").settings,
        stalls=(Stall(1.095, 0.3),),
        messages=(Message(1.1, SPEECH), Message(1.1, terminated(1))),
        ending=Ending("stopped", at=1, calendar=5),
    )
    found = validity(one)
    expected = ["incomplete", "unpaced", "stall", "backpressure", "clock", "lost"]
    assert [problem.name for problem in found.problems] == expected
    assert all(problem.fix in str(found) for problem in found.problems)


# The way out: the 99th percentile of all chunks, and each one that a result depends on.


@pytest.mark.parametrize(
    ("one", "name"), [(sent([0.02] * 10), "late"), (leaving(0.02), "backpressure")]
)
def test_the_budget_is_a_share_of_a_chunk(one: Session, name: str) -> None:
    assert validity(one, budget=0.21)
    assert names(one, budget=0.17) == [name]


def test_one_late_chunk_in_two_hundred_is_within_the_99th_percentile() -> None:
    assert validity(sent([0.0] * 199 + [0.5]))
    assert not validity(sent([0.0] * 99 + [0.5] * 10))


def late_once(chunk: int, seconds: float, count: int = 790) -> list[float]:
    """The lateness of wall-clock pacing that stalls before a chunk and then catches up."""
    return [max(0.0, seconds - max(0, i - chunk) * 0.1) * (i >= chunk) for i in range(count)]


def hour(chunk: int, seconds: float) -> list[float]:
    return late_once(chunk, seconds, 36_000)


@pytest.mark.parametrize(
    ("lateness", "end", "shown"),
    [
        (late_once(400, 0.75), 40.05, "up to 750.0 ms"),  # 0.75 s in 79 s
        (late_once(400, 0.75), 40.45, "up to 350.0 ms"),
        (hour(20_000, 20.0), 2000.05, "up to 20000.0 ms"),  # 20 s in an hour
    ],
)
def test_a_stall_that_a_counted_word_carries_is_not_forgiven(
    lateness: list[float], end: float, shown: str
) -> None:
    answered = turn(
        end + 30, ("late", end - 0.02, end), final=True, decided=round(end * 1000) + 500
    )
    (problem,) = validity(session(lateness, answered, service=HEARS)).problems
    assert problem.name == "late"
    assert "hold or decide a result" in problem.found
    assert shown in problem.found
    assert "by more than 10 ms" in problem.found


@pytest.mark.parametrize("count", [790, 36_000])
def test_a_stall_that_no_counted_result_carries_is_forgiven(count: int) -> None:
    """A word before it and one after it, each decided by a chunk that was on time."""
    lateness = late_once(400, 0.75, count)
    before = turn(39.0, ("before", 38.0, 38.4), final=True, decided=38_800)
    after = turn(42.0, ("after", 41.2, 41.4), order=1, final=True, decided=41_800)
    assert validity(session(lateness, before, after))
    # A word that Terminate cut off has its latency shown; it is the turn that does not count.
    carrying = turn(41.0, ("within", 40.0, 40.05), order=1, final=True, decided=40_100)
    assert names(session(lateness, before, carrying)) == ["late"]


@pytest.mark.parametrize(
    ("late", "decided", "expected"),
    [
        (14, 1000, []),
        (14, 1500, ["late"]),
        (14, None, ["late"]),
        (18, None, ["late"]),  # the last one that was sent before the final
        (19, None, []),
        (7, None, ["late"]),  # the word's own
        (6, None, []),
    ],
)
def test_the_chunk_that_decided_a_turn_is_bounded_too(
    late: int, decided: int | None, expected: list[str]
) -> None:
    """The turn was decided before, by or after a late chunk."""
    lateness = [0.0] * 200
    lateness[late] = 0.04  # one of 200: the 99th percentile forgives it
    answered = turn(1.95, ("hi", 0.5, 0.8), final=True, decided=decided)
    assert names(session(lateness, answered, service=HEARS)) == expected


def test_a_result_that_the_sender_disturbed_is_not_counted_and_was_late_all_the_same() -> None:
    """Behind a burst of which nobody knows how long it takes to be heard."""
    before = turn(39.0, ("before", 38.0, 38.4), final=True, decided=38_800)
    within = turn(41.0, ("within", 40.1, 40.45), order=1, final=True, decided=42_000)
    lateness = late_once(400, 0.75)
    assert names(session(lateness, before, within)) == ["late"]
    punctual = turn(43.0, ("punctual", 42.1, 42.45), order=1, final=True, decided=42_600)
    assert validity(session(lateness, before, punctual))
    alone = validity(session(lateness, punctual))
    assert [(one.name, one.found) for one in alone.problems] == [
        ("no results", "none of 2 results counts: 2 disturbed")
    ]


@pytest.mark.parametrize(
    ("seconds", "late", "expected"),
    [
        (0.1, 0.0099, []),
        (0.1, 0.0101, ["late"]),
        (1.0, 0.099, []),
        (1.0, 0.101, ["late"]),
        (0.05, 0.0099, []),  # what is let pass on the way back is, too, on the way out
        (0.05, 0.0101, ["late"]),
        (20.0, 2.0, []),  # the bound itself
        (20.0, 2.0000001, ["late"]),
    ],
)
def test_a_single_result_may_be_as_late_as_the_budget_or_the_bound_on_receiving(
    seconds: float, late: float, expected: list[str]
) -> None:
    lateness = [0.0] * 400
    lateness[200] = late
    end = 200.5 * seconds
    answered = turn(
        end + seconds, ("hi", end - 0.01, end), final=True, decided=round(201 * seconds * 1000)
    )
    assert names(session(lateness, answered, seconds=seconds)) == expected


def test_a_send_that_came_back_late_after_its_bytes_had_left_is_sound() -> None:
    """The process lost the processor inside the send: the kernel tells when the bytes left."""
    assert names(leaving(0.05)) == ["backpressure"]
    assert validity(leaving(0.05, left=0.0))
    assert validity(leaving(0.05, left=0.004))
    assert names(leaving(0.05, left=0.05)) == ["backpressure"]


@pytest.mark.parametrize(
    ("seconds", "took", "expected"),
    [
        (0.1, 0.0099, []),
        (0.1, 0.0101, ["backpressure"]),
        (0.05, 0.0099, []),
        (0.05, 0.0101, ["backpressure"]),
        (20.0, 2.0, []),
        (20.0, 2.0000001, ["backpressure"]),
    ],
)
def test_a_single_send_may_take_as_long(seconds: float, took: float, expected: list[str]) -> None:
    end = 200.5 * seconds
    answered = turn(end + seconds, ("hi", end - 0.01, end), final=True)
    found = session([0.0] * 400, answered, seconds=seconds)
    slow = [
        replace(one, returned=one.sent + took) if one.index == 200 else one for one in found.chunks
    ]
    assert names(replace(found, chunks=tuple(slow))) == expected


@pytest.mark.parametrize(("late", "expected"), [(0.5, []), (0.5000001, ["late"])])
def test_all_chunks_may_be_as_late(late: float, expected: list[str]) -> None:
    answered = turn(30.0, ("hi", 1.0, 2.0), final=True)
    assert names(session([late] * 4, answered, seconds=5.0)) == expected


@pytest.mark.parametrize(("took", "expected"), [(2.0, []), (2.0000001, ["backpressure"])])
def test_all_sends_may_take_as_long(took: float, expected: list[str]) -> None:
    found = session([0.0] * 4, turn(30.0, ("hi", 1.0, 2.0), final=True), seconds=20.0)
    slow = tuple(replace(one, returned=one.sent + took) for one in found.chunks)
    assert names(replace(found, chunks=slow)) == expected


def test_a_send_that_was_late_once_matters_where_a_result_depends_on_it() -> None:
    late = session([0.0] * 400, turn(0.55, ("hello", 0.2, 0.4), final=True, decided=500))
    for number, expected in ((3, ["backpressure"]), (4, ["backpressure"]), (200, [])):
        slow = list(late.chunks)
        slow[number] = replace(slow[number], returned=slow[number].sent + 0.03)
        assert names(replace(late, chunks=tuple(slow))) == expected


# The way out: what the other side had not taken.


def taken(
    *,
    unacknowledged: Callable[[int], int | None] = lambda _: None,
    window: Callable[[int], int | None] = lambda _: None,
) -> Session:
    """A minute of chunks of 100 ms, of 200 bytes, with what the kernel told when each left."""
    found = session([0.0] * 600, HELLO)
    told = tuple(
        replace(one, unacknowledged=unacknowledged(one.index), window=window(one.index))
        for one in found.chunks
    )
    return replace(found, chunks=told)


@pytest.mark.parametrize("stop", [1.0, 6.0])
def test_a_receiver_that_stops_reading_is_seen_by_what_is_not_acknowledged(stop: float) -> None:
    held = round(stop * 10)

    def grows(chunk: int) -> int:
        return 264 * (chunk - 300) if 300 <= chunk <= 300 + held else 0

    (problem,) = validity(taken(unacknowledged=grows)).problems
    assert problem.name == "backpressure"
    assert f"{stop * 1000:.0f} ms later than usual" in problem.found


@pytest.mark.parametrize("stop", [1.0, 6.0])
def test_a_receiver_that_stops_reading_is_seen_by_its_window(stop: float) -> None:
    """The kernel there acknowledges what nobody reads, as long as there is room for it."""
    held = round(stop * 10)

    def shrinks(chunk: int) -> int | None:
        filled = 264 * (chunk - 300) if 300 <= chunk <= 300 + held else 0
        return 100_000 - filled if chunk % 5 == 0 else None

    (problem,) = validity(taken(window=shrinks)).problems
    assert problem.name == "backpressure"
    assert f"{stop * 1000:.0f} ms later than usual" in problem.found


@pytest.mark.parametrize(
    "one",
    [
        taken(unacknowledged=lambda _: 0, window=lambda _: 65_000),
        # A way of 400 ms there and back: four chunks are always under way.
        taken(unacknowledged=lambda chunk: 4 * 208),
        # An acknowledgment that is held back for company.
        taken(unacknowledged=lambda chunk: 208 * (chunk % 2)),
        # A window that grows as the other side sees that it is read.
        taken(window=lambda chunk: 65_536 if chunk < 20 else 101_376 + 1000 * chunk),
        # A stop of 200 ms: networks do that.
        taken(unacknowledged=lambda chunk: 208 * (chunk - 300) if 300 <= chunk <= 302 else 0),
    ],
)
def test_what_a_network_does_is_not_taken_for_a_receiver_that_stopped(one: Session) -> None:
    assert validity(one)


def test_a_sender_that_was_late_once_is_no_receiver_that_stopped() -> None:
    """All is acknowledged: how long ago the chunk before was sent does not matter."""
    on_time = taken(unacknowledged=lambda _: 0)
    late = [replace(one, sent=one.sent + 0.5 * (one.index == 300)) for one in on_time.chunks]
    late = [replace(one, returned=one.sent) for one in late]
    assert validity(replace(on_time, chunks=tuple(late)))


def arriving(*ways: float) -> Session:
    """Words that a service answered by chunks that it says took so long to arrive."""
    answers = []
    for number, way in enumerate(ways):
        at = (number + 1) * 1.0
        said = turn(
            at + max(way, 0) + 0.2, ("word", at - 0.3, at), order=number, final=True, decided=1
        )
        message = json.loads(said.text)
        message["loopback"] |= {"samples": round(at * 1000), "arrived": 7.0 + at + way}
        answers.append(Message(said.at, json.dumps(message)))
    return replace(session([0.0] * 200, *answers), zero=7.0)


def test_a_receiver_that_stops_reading_is_seen_by_the_stamps_of_arrival() -> None:
    (problem,) = validity(arriving(0.0, 0.0, 1.8, 0.9, 0.0)).problems
    assert problem.name == "backpressure"
    assert "1800 ms later than usual" in problem.found
    assert validity(arriving(0.3, 0.32, 0.5, 0.3))  # a slow network, and a slower moment
    assert validity(arriving(0.0, 0.0, 0.25))
    assert names(arriving(0.0, 0.0, 0.26)) == ["backpressure"]
    assert validity(arriving(-9.0, -4.0, -1.0))  # stamps of another clock tell nothing


# The way back.


def watched(seconds: float) -> Session:
    """A session whose `on_event` blocks the loop for each message."""

    async def run() -> Session:
        def watch(fact: Fact) -> None:
            if isinstance(fact, Message) and fact.at > 0:
                virtual_loop().block(seconds)

        clip = open_clip(CALL, seconds=10)
        return await converse(clip, delay=0.15, chunk=1.0, on_event=watch)

    return in_virtual_time(run())


def test_a_watcher_that_takes_its_time_delays_the_messages_behind() -> None:
    """With chunks of 1 s several words come at once: the second waits for the first's watcher."""
    assert validity(watched(0.0))
    assert names(watched(0.03)) == ["stall"]


def test_a_stall_at_each_result_is_bounded_whatever_the_chunk() -> None:
    found = session(
        [0.0] * 10,
        *(turn(i + 0.5, ("word", i - 0.6, i - 0.2), order=i, final=True) for i in range(1, 9)),
        seconds=1.0,
    )
    held_up = replace(found, stalls=tuple(Stall(i + 0.499, 0.09) for i in range(1, 9)))
    assert validity(found)
    (problem,) = validity(held_up).problems
    assert (problem.name, "(8×), for up to 90 ms, more than 10 ms" in problem.found) == (
        "stall",
        True,
    )
    assert validity(held_up, receive=0.1)


@pytest.mark.parametrize(
    ("after", "waited", "expected"),
    [
        (0.011, None, ["stall"]),  # a turn of the loop may take 10 ms
        (0.0199, None, ["stall"]),
        (0.0201, None, []),
        (0.011, 0.5, ["stall"]),  # the kernel knows
        (0.011, 0.0, []),
        (0.001, 0.004, []),
        (0.3, 0.3, ["stall"]),
    ],
)
def test_a_message_after_a_stall_may_have_waited_for_its_end(
    after: float, waited: float | None, expected: list[str]
) -> None:
    assert names(stalled(0.5, before=after, waited=waited)) == expected


def test_of_messages_read_together_the_kernel_tells_of_the_last_only() -> None:
    found = stalled(0.5, waited=0.0)
    first = Message(1.0995, SPEECH, waited=0.0)
    assert validity(found)
    assert names(replace(found, messages=(*found.messages[:-1], first, found.messages[-1]))) == [
        "stall"
    ]


def test_a_message_within_a_stall_waited_since_its_begin() -> None:
    found = stalled(0.5, before=-0.4)  # the stall ends 0.4 s after the message: 0.1 s passed
    (problem,) = validity(found).problems
    assert "for up to 100 ms" in problem.found
    assert validity(stalled(0.5, before=-0.495))  # 5 ms


def test_what_the_kernel_tells_counts_without_any_stall() -> None:
    """A process that is stopped while no timer is due notices nothing."""
    found = sent()
    waits = [0.052, 0.0, 0.048, 0.01]
    late = tuple(Message(0.6 + i / 10, SPEECH, waited=wait) for i, wait in enumerate(waits))
    (problem,) = validity(replace(found, messages=(*found.messages, *late))).problems
    assert problem.name == "stall"
    assert "2 of 5 messages" in problem.found
    assert "for up to 52 ms, more than 10 ms" in problem.found
    assert "isolation='process'" in problem.fix
    assert validity(replace(found, messages=(*found.messages, *late)), receive=0.06)


def test_what_comes_before_time_starts_and_after_the_results_does_not_matter() -> None:
    found = sent()
    begin = Message(-0.1, '{"type": "Begin", "id": "x", "expires_at": 1}', waited=0.4)
    goodbye = Message(1.2, terminated(2000), waited=0.4)
    one = replace(found, messages=(begin, *found.messages, goodbye), stalls=(Stall(1.2, 0.4),))
    assert validity(one)


# The clocks.


@pytest.mark.parametrize(
    ("one", "moved"),
    [
        (ended(10.0, 10.3), "+0.3 s"),  # a step
        (ended(10.0, 10.11), "+0.1 s"),
        (ended(10.0, 9.5), "-0.5 s"),
        (ended(10.0, 9.5, slept=0.0), "-0.5 s"),
        (ended(10_800.0, 10_805.4), "+5.4 s"),  # 500 ppm over three hours
        (ended(10_800.0, 10_794.6), "-5.4 s"),
        (ended(10.0, 3610.0, slept=0.0), "+3600.0 s"),
    ],
)
def test_a_calendar_that_is_set_moves_no_figure(one: Session, moved: str) -> None:
    found = validity(one)
    assert found
    assert moved in found.notes[0]
    for steady in (sent(), sent(ending=None), ended(10.0, 10.09), ended(10.0, 9.91)):
        assert "calendar" not in "".join(validity(steady).notes)


def test_what_the_kernel_does_not_tell_is_said() -> None:
    told = taken(unacknowledged=lambda _: 0)
    first, *rest = told.messages
    told = replace(told, messages=(replace(first, waited=0.0), *rest))
    assert validity(told).notes == ()
    asked_at_times = taken(unacknowledged=lambda chunk: None if chunk % 5 else 0)
    asked_at_times = replace(asked_at_times, messages=(*told.messages, Message(9.0, SPEECH)))
    assert validity(asked_at_times).notes == ()
    assert len(validity(sent()).notes) == 2
    assert all("unknown on this system" in note for note in validity(sent()).notes)


# What came back.


@pytest.mark.parametrize(
    ("audio", "expected"),
    [(3, ["lost"]), (12.9, ["lost"]), (13, []), (14, []), (15, []), (16, ["lost"])],
)
def test_a_service_that_heard_less_than_was_sent_says_so(audio: float, expected: list[str]) -> None:
    heard = session(
        [0.0] * 140, HELLO, Message(14.2, terminated(None, audio)), reference=[("hello", 0.2, 0.4)]
    )
    found = validity(heard)
    assert [one.name for one in found.problems] == expected
    assert all("14.0 s of audio were sent" in one.found for one in found.problems)


SAID = [("one", 0.1, 0.3), ("two", 0.4, 0.6), ("three", 0.7, 0.9), ("four", 1.0, 1.2)]


def heard(*words: tuple[str, float, float], behind: float = 0.3, reference: Any = SAID) -> Session:
    """Each word told so long after its end, as the service has it, and stays."""
    messages = [
        turn(end + behind, *((*word, True) for word in words[: i + 1]))
        for i, (_, _, end) in enumerate(words)
    ]
    return session([0.0] * 30, *messages, reference=reference)


def moved(by: float) -> list[tuple[str, float, float]]:
    return [(word, start + by, end + by) for word, start, end in SAID]


def test_a_reference_and_no_result_at_all() -> None:
    for silent in (session(ON_TIME, reference=SAID), session(ON_TIME, turn(0.5), reference=SAID)):
        (problem,) = validity(silent).problems
        assert problem.name == "no results"
        assert problem.found == "no word was recognized, of 4 that were spoken"


def test_a_clip_of_silence_measures_nothing() -> None:
    (problem,) = validity(simulate(5.0)).problems
    assert problem.name == "no results"
    assert "nothing was measured" in problem.found


@pytest.mark.parametrize(("loud", "silent"), [(-81.0, True), (-80.0, False), (-79.0, False)])
@pytest.mark.parametrize("channels", [1, 2])
def test_audio_that_is_silent_measures_nothing(loud: float, silent: bool, channels: int) -> None:
    """Whatever the channels hold, it is what was sent that counts."""
    levels = [Level(0.0, 10 ** (loud / 20), 0.0)] + [Level(0.1, 0.1, 0.1, channel=0)] * (
        channels - 1
    )
    found = [
        (one.name, one.found) for one in validity(replace(sent(), levels=tuple(levels))).problems
    ]
    assert found == [("silent", "the audio that was sent is silent, -81.0 dBFS")] * silent


def test_results_of_which_none_counts() -> None:
    cut_off = session(
        ON_TIME, turn(1.2, ("so", 0.2, 0.4), final=True, decided=1000, cause="terminate")
    )
    assert validity(cut_off)  # its word counts
    foreign = session(ON_TIME, HELLO, reference=[("other", 0.2, 0.4)])
    assert "no results" in names(foreign)
    (problem,) = [one for one in validity(foreign).problems if one.name == "no results"]
    assert "unmatched" in problem.found
    assert problem.fix.startswith("Use a recording that contains speech")


def test_results_without_word_times_need_a_reference() -> None:
    completed = {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "a",
        "content_index": 0,
        "transcript": "good morning",
    }
    said = Message(0.5, json.dumps(completed))
    (problem,) = validity(session([0.0] * 10, said, service={"dialect": "openai"})).problems
    assert problem.name == "no results"
    assert "only a session with a reference can be measured" in problem.fix


@pytest.mark.parametrize(
    ("by", "shown"),
    [(1.0, "1000 ms before the reference"), (-1.0, "1000 ms after the reference"), (5.0, "5000")],
)
def test_a_reference_that_is_shifted_against_the_recording(by: float, shown: str) -> None:
    one = heard(*moved(2.0), reference=[(text, s + 2 + by, e + 2 + by) for text, s, e in SAID])
    (problem,) = [problem for problem in validity(one).problems if problem.name == "shifted"]
    assert shown in problem.found
    assert "0 of 4 words that were recognized (0%) match nothing" in problem.found
    assert "early" not in names(one)


@pytest.mark.parametrize(
    ("by", "expected"), [(0.2, []), (-0.2, []), (0.3, ["shifted"]), (-0.3, ["shifted"])]
)
def test_service_times_that_are_shifted(by: float, expected: list[str]) -> None:
    """The results come when they ought to; it is the service's times that are off."""
    assert names(heard(*moved(by), behind=0.3 - by)) == expected


def test_words_that_match_nothing_have_their_share_named() -> None:
    two_of_four = [("one", 0.1, 0.3), ("too", 0.4, 0.6), ("tree", 0.7, 0.9), ("four", 1.0, 1.2)]
    assert validity(heard(*two_of_four))
    one_of_four = [("won", 0.1, 0.3), *two_of_four[1:]]
    (problem,) = validity(heard(*one_of_four)).problems
    assert problem.name == "unmatched"
    assert "3 of 4 words that were recognized (75%)" in problem.found


def test_results_that_come_before_their_word_was_spoken() -> None:
    """With the service's own times nothing is shifted; nobody can have heard them all the same."""
    guessed = [
        turn(start - 0.01, (text, start, end, True), order=order)
        for order, (text, start, end) in enumerate(SAID)
    ]
    for one in session([0.0] * 30, *guessed), session([0.0] * 30, *guessed, reference=SAID):
        (problem, none) = validity(one).problems
        assert (problem.name, none.name) == ("early", "no results")
        assert "4 of 4 results came before any audio of their words was sent" in problem.found
        assert "4 early" in none.found
    # After the word had begun, and long before it had ended.
    long = [("long", 0.0, 1.0), ("longer", 1.1, 2.4)]
    (problem,) = validity(heard(*long, behind=-0.6, reference=None)).problems
    assert problem.name == "early"
    assert ", half of them 600 ms before the end of the word was" in problem.found
    (problem,) = validity(heard(*long, behind=-0.11, reference=None)).problems
    assert problem.found.startswith("0 of 2 results came before")
    assert ", half of them 110 ms before the end of the word was" in problem.found
    assert validity(heard(*long, behind=-0.09, reference=None))


def test_one_guess_in_many_is_forgiven() -> None:
    words = [(f"word{i}", i / 10, i / 10 + 0.05) for i in range(100)]
    messages = [
        turn(end + 0.2, (text, start, end, True), order=i)
        for i, (text, start, end) in enumerate(words)
    ]
    messages[50] = turn(4.0, (*words[50], True), order=50)
    assert validity(session([0.0] * 110, *messages))
    for number in range(51, 56):
        assert validity(session([0.0] * 110, *messages))
        messages[number] = turn(4.0, (*words[number], True), order=number)
    assert names(session([0.0] * 110, *messages)) == ["early"]  # six in a hundred


# Where it is shown.


def test_a_table_tells_below_which_sessions_are_not_valid_and_why() -> None:
    table = summarize({"good": sent(), "bad": stalled(0.3), "worse": sent(ending="failed")})
    told = [note for note in table.notes if "not valid" in note]
    assert [note.partition(" is not valid: ")[0] for note in told] == ["bad", "worse"]
    for text in str(table), table._repr_html_():
        assert "for up to 300 ms" in text
        assert "Run it again to its end." in text


@pytest.mark.parametrize(("bad", "shown"), [(sent(), False), (stalled(0.3), True)])
def test_a_figure_tells_that_a_session_is_not_valid(bad: Session, shown: bool) -> None:
    figure = Figure()
    plot_lateness({"good": sent(), "bad": bad}, ax=figure.subplots())
    texts = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    assert any("not valid" in text for text in texts) is shown


@pytest.mark.parametrize("value", [0, -0.1, float("nan"), float("inf")])
def test_bounds_that_are_none_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="is not a share of a chunk"):
        validity(sent(), budget=value)
    with pytest.raises(ValueError, match="is not a duration"):
        validity(sent(), receive=value)


def test_a_session_is_judged_once_however_often_it_is_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    judged = []

    def judge(one: Session, bound: float, receive: float) -> Validity:
        judged.append(bound)
        return _judged(one, bound, receive)

    monkeypatch.setattr("rtkit.analysis.checks.validity._judged", judge)
    sessions = {"good": sent(), "bad": stalled(0.3)}
    plot_comparison(sessions)
    plot_comparison(sessions)
    summarize(sessions)
    assert len(judged) == 2
    assert validity(sessions["bad"]) is validity(sessions["bad"])
    assert validity(sessions["good"], budget=0.5) is not validity(sessions["good"])
    assert len(judged) == 3
