"""Each mistake is found in the facts and named with its figure; a sound session has none."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from conftest import MakeClip, simulate, spoken
from facts import CALL, call, saying
from facts import session as built
from facts import turn as said
from scripted import ENDED

import rtkit
from rtkit.analysis.checks.mistakes import Mistake, Mistakes, _bounds, diagnose
from rtkit.audio import AudioError, Clip, open_clip, open_raw, silence
from rtkit.experiments.reproduce import _MISTAKES, reproduce
from rtkit.loopback.conversation import Behavior
from rtkit.loopback.engines import Energy, Script
from rtkit.loopback.in_memory import InMemoryConnection
from rtkit.pacing import Plan
from rtkit.recording import StreamError, load_session
from rtkit.sending.connect import way_through
from rtkit.sending.options import Options, Shutdown
from rtkit.sending.stream import stream, stream_plan
from rtkit.services.assemblyai.client import AssemblyAI
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Turn
from rtkit.session import Ending, Event, Message, Session


def memory(clip: Clip, behavior: Behavior | None = None, **query: str) -> InMemoryConnection:
    script = clip.reference
    engine: Any = Energy if script is None else lambda rate: Script(script, rate)
    return InMemoryConnection(engine, rate=clip.rate, behavior=behavior, parameters=query)


def sent(
    clip: Clip,
    *,
    edges: np.ndarray | None = None,
    shutdown: Shutdown = Shutdown.WAIT,
) -> Session:
    """Stream in virtual time, as no sound sender does."""

    async def session() -> Session:
        plan = Plan.of(clip) if edges is None else Plan(edges, clip.rate, 0.1)
        way = way_through(memory(clip, Behavior(delay=0.5)))
        try:
            return await stream_plan(clip, plan, Options(shutdown=shutdown), way)
        except StreamError as error:
            return error.session

    return simulate(session())


def only(found: Mistakes) -> Mistake:
    (mistake,) = found
    for text in (mistake.sentence, mistake.fix, mistake.service):
        assert text.endswith((".", ".wav", ")"))
    return mistake


def wav(folder: Path, seconds: float = 1.0, *, rate: int = 16000, channels: int = 1) -> Path:
    noise = np.random.default_rng(0).integers(-3000, 3000, round(seconds * rate), dtype=np.int16)
    path = folder / f"noise-{rate}-{channels}.wav"
    soundfile.write(path, np.column_stack([noise] * channels), rate, subtype="PCM_16")
    return path


# Nothing to say.


@pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
@pytest.mark.parametrize("chunk", [0.05, 0.1, 1.0])
@pytest.mark.parametrize("phase", ["start", "end"])
def test_of_a_sound_session_there_is_nothing_to_say(pacing: str, chunk: float, phase: str) -> None:
    session = call(6, pacing=pacing, chunk=chunk, phase=phase)
    found = diagnose(session, transcript=session.transcript)
    assert not found
    assert str(found) == repr(found) == "no common mistake found"
    assert found._repr_html_() == "<p>no common mistake found</p>"


@pytest.mark.parametrize("seconds", [0.03, 0.1, 0.13, 1.02])
@pytest.mark.parametrize("rate", [8000, 11025, 44100])
def test_a_short_clip_is_no_mistake(make_clip: MakeClip, seconds: float, rate: int) -> None:
    assert diagnose(sent(make_clip(seconds, rate=rate))).names == ()


def test_a_stall_that_is_made_up_for_is_no_mistake(make_clip: MakeClip) -> None:
    clip = make_clip(3.0)

    async def stalled() -> Session:
        return await stream(clip, connection=memory(clip), blocks=[(1.0, 0.7)])

    session = simulate(stalled())
    assert session.lateness.max() > 0.5
    assert not diagnose(session)


@pytest.mark.parametrize("channels", [1, 2])
def test_a_clip_that_is_opened_rightly_is_sound(tmp_path: Path, channels: int) -> None:
    assert not diagnose(open_clip(wav(tmp_path, channels=channels)))
    assert not diagnose(silence(1.0))


def test_two_finals_a_turn_are_no_mistake_unless_they_are_counted(make_clip: MakeClip) -> None:
    first = said(1.0, ("good", 0.1, 0.4), final=True)
    second = said(1.0, ("Good.", 0.1, 0.4), final=True, formatted=True)
    session = built([0.0], first, second, terminated=2.0)
    assert not diagnose(session)
    assert not diagnose(session, transcript="Good.")
    assert diagnose(session, transcript="good Good.").names == ("counted twice",)


def test_a_session_that_the_service_ended_had_no_chance_to_say_terminate() -> None:
    ended = built([0.0, 0.0], ending="failed")
    assert not diagnose(ended)


# Each mistake.


def test_unpaced() -> None:
    mistake = only(diagnose(call(6, pacing="unpaced")))
    assert mistake.name == "unpaced"
    assert mistake.evidence == "5.9 s of audio were sent within 0 ms, 5.9 s ahead of time"


def test_naive_drift() -> None:
    mistake = only(diagnose(rtkit.simulate(10.1, pacing="fixed_sleep", work=0.003)))
    assert mistake.name == "naive drift"
    assert mistake.evidence.startswith("fell 300 ms behind: ")
    assert not diagnose(rtkit.simulate(10.1, pacing="wall_clock", work=0.003))


@pytest.mark.parametrize(
    ("pacing", "rise", "expected"),
    [
        ("fixed_sleep", 0.011, ("naive drift",)),
        ("fixed_sleep", 0.009, ()),
        ("fixed_sleep", -0.011, ()),
        ("wall_clock", 0.5, ()),  # it ends late, and of a stall
    ],
)
def test_drift_is_naive_where_the_pacing_is(
    pacing: str, rise: float, expected: tuple[str, ...]
) -> None:
    late = built([0.002] * 9 + [0.002 + rise], terminated=1.1, pacing=pacing)
    goodbye = replace(late, messages=(Message(1.2, ENDED),))
    assert diagnose(goodbye).names == expected


@pytest.mark.parametrize(("stated", "times"), [(8000, "0.5"), (32000, "2")])
def test_wrong_sample_rate(tmp_path: Path, stated: int, times: str) -> None:
    clip = open_raw(wav(tmp_path, 2.0), rate=stated)
    became = f"{2 * 16000 / stated:.2f} s for the service"
    before, after = only(diagnose(clip)), only(diagnose(sent(clip)))
    assert before.name == after.name == "wrong sample rate"
    assert f"runs {times} times as fast" in after.sentence
    assert after.evidence.startswith(f"{stated} Hz stated, 16000 Hz in the file; ")
    assert after.evidence.endswith(f"2.00 s of recording lasted {became}")
    assert before.evidence.endswith(f"2.00 s of recording would last {became}")


@pytest.mark.parametrize(
    ("speed", "evidence"),
    [
        (1.0, None),
        (1.03, None),
        (48 / 44.1, "1.09 times as fast as in the reference, by 19 words; 1000 Hz stated, "
         "about 919 Hz heard"),
        (0.5, "0.50 times as fast as in the reference, by 19 words; 1000 Hz stated, "
         "about 2000 Hz heard"),
    ],
)  # fmt: skip
def test_wrong_sample_rate_shows_in_the_words_where_no_header_tells(
    speed: float, evidence: str | None
) -> None:
    spoken_words = [(f"word{i % 7}", 0.5 * i, 0.5 * i + 0.4) for i in range(20)]
    came = [(text, start / speed, end / speed) for text, start, end in spoken_words]
    came[4] = ("other", *came[4][1:])
    session = built([0.0], said(20.0, *came, final=True), reference=spoken_words, terminated=30.0)
    found = {mistake.name: mistake.evidence for mistake in diagnose(session)}
    assert found.get("wrong sample rate") == evidence
    assert ("drifting times" in found) is (speed == 1.03)  # which is not one mistake as two


def test_stereo(tmp_path: Path) -> None:
    clip = open_raw(wav(tmp_path, 2.0, channels=2))
    before, after = only(diagnose(clip)), only(diagnose(sent(clip)))
    assert before.name == after.name == "stereo"
    assert after.evidence.startswith("2 channels in the file, 1 stated; ")
    assert after.evidence.endswith("2.00 s of recording lasted 4.00 s for the service")


def test_samples_of_24_bits_are_not_16(tmp_path: Path) -> None:
    path = tmp_path / "wide.wav"
    soundfile.write(path, 0.1 * np.sin(np.arange(16000) / 9), 16000, subtype="PCM_24")
    assert not diagnose(open_clip(path))
    mistake = only(diagnose(open_raw(path)))
    assert mistake.name == "not 16-bit"
    assert mistake.evidence == (
        "24 bits a sample in the file, 16 stated; 1.00 s of recording would last 1.50 s for the "
        "service"
    )


def test_a_raw_file_that_went_away_is_told(tmp_path: Path) -> None:
    clip = open_raw(wav(tmp_path))
    clip.path.unlink()
    with pytest.raises(AudioError, match="can no longer be opened: No such file"):
        diagnose(clip)


def test_no_terminate(make_clip: MakeClip) -> None:
    clip = make_clip(1.0, reference=spoken(("good", 0.1, 0.3), ("morning", 0.3, 0.9)))
    session = sent(clip, shutdown=Shutdown.NONE)
    assert session.terminated is None
    assert not session.complete
    mistake = only(diagnose(session))
    assert mistake.name == "no Terminate"
    assert mistake.evidence == "no Termination; the last turn was still open, with 1 word so far"


def test_a_session_that_was_cut_off_said_no_terminate(tmp_path: Path) -> None:
    whole = call(6)
    path = replace(
        whole,
        ending=None,
        events=tuple(event for event in whole.events if event.name == "connected"),
        messages=whole.messages[:-1],
    ).save(tmp_path / "cut.jsonl")
    assert diagnose(load_session(path)).names == ("no Terminate",)


def test_the_last_turn_may_be_open_although_an_earlier_one_had_ended() -> None:
    """And one that had ended may stand before one that is open."""
    ended = said(0.5, ("good", 0.1, 0.3), final=True)
    partial = said(0.9, ("morning", 0.5, 0.7), ("to", 0.7, 0.8), order=1)
    left = [one for one in diagnose(built([0.0] * 9, ended, partial)) if one.name == "no Terminate"]
    assert [one.evidence for one in left] == [
        "no Termination; the last turn was still open, with 2 words so far"
    ]
    whole = diagnose(
        built([0.0] * 9, partial, said(1.0, ("morning", 0.5, 0.7), order=1, final=True))
    )
    assert only(whole).evidence == "no Termination; no open turn was seen"


def shifted(by: float, *, count: int = 12, speed: float = 1.0) -> Session:
    """Words that the service places so much later than the reference, and as much faster."""
    times = [(f"word{i}", 1 + i / 2, 1.3 + i / 2) for i in range(count)]
    words = [(text, start * speed + by, end * speed + by) for text, start, end in times]
    answers = [said(w[2] + 0.2, w, order=i, final=True) for i, w in enumerate(words)]
    ended = Message(9.0, ENDED)
    return built([0.0] * 90, *answers, ended, reference=times, terminated=8.9)


@pytest.mark.parametrize("by", [-0.24, 0.0, 0.24])
def test_service_times_are_off_by_some_tenths_as_a_rule(by: float) -> None:
    assert not diagnose(shifted(by))


@pytest.mark.parametrize(
    ("by", "shown"), [(-1.0, "1000 ms before"), (0.26, "260 ms after"), (3.0, "3000 ms after")]
)
def test_shifted_times(by: float, shown: str) -> None:
    mistake = only(diagnose(shifted(by)))
    assert mistake.name == "shifted times"
    assert f"{shown} the reference, in the median of 12" in mistake.evidence
    assert "0 of 12 words that were recognized (0%) match nothing" in mistake.evidence


def test_another_speed_is_not_taken_for_a_shift() -> None:
    assert only(diagnose(shifted(0.0, speed=1.2))).name == "wrong sample rate"
    assert only(diagnose(shifted(1.0, count=4))).name == "shifted times"  # too few to tell speed
    assert not diagnose(shifted(0.0, count=4))


@pytest.mark.parametrize(
    ("speed", "count", "evidence"),
    [
        (
            1.06,
            12,
            "0.94 times as fast as in the reference, by 12 words; 1000 Hz stated, about 1060",
        ),
        (
            0.94,
            12,
            "1.06 times as fast as in the reference, by 12 words; 1000 Hz stated, about 940",
        ),
        (1.04, 12, None),
        (0.96, 12, None),
        (1.06, 8, "0.94 times as fast as in the reference, by 8 words; 1000 Hz stated, about 1060"),
        (1.06, 7, None),
    ],
)
def test_eight_words_tell_a_speed_that_is_off_by_a_twentieth(
    speed: float, count: int, evidence: str | None
) -> None:
    found = diagnose(shifted(0.0, speed=speed, count=count))
    told = [one.evidence for one in found if one.name == "wrong sample rate"]
    assert [text.removesuffix(" Hz heard") for text in told] == [evidence] * (evidence is not None)


def test_words_that_are_off_one_by_one_have_no_speed_of_their_own() -> None:
    """They are compared with those that came half of all words later."""
    times = [(f"word{i}", 1 + i / 2, 1.3 + i / 2) for i in range(12)]
    off = [0.6 * (i % 6 > 2) for i in range(12)]
    words = [
        (text, start + by, end + by) for (text, start, end), by in zip(times, off, strict=True)
    ]
    finals = [said(w[2] + 0.2, w, order=i, final=True) for i, w in enumerate(words)]
    one = built([0.0] * 90, *finals, Message(9.0, ENDED), reference=times, terminated=8.9)
    assert "wrong sample rate" not in diagnose(one).names


def test_words_without_times_have_no_speed_and_no_shift() -> None:
    def untimed(turn: Turn) -> Turn:
        return replace(turn, words=tuple(replace(w, start=None, end=None) for w in turn.words))

    assert not diagnose(saying(shifted(1.0), untimed))


def test_closed_too_soon(make_clip: MakeClip) -> None:
    session = sent(make_clip(1.0), shutdown=Shutdown.HASTY)
    mistake = only(diagnose(session))
    assert mistake.name == "closed too soon"
    assert mistake.evidence.startswith("closed 0 ms after the client asked to end the session")


@pytest.mark.parametrize(
    ("closed", "told"), [(10.9, ["closed 2900 ms after the client asked"]), (11.0, [])]
)
def test_three_seconds_are_time_enough_for_a_last_word(closed: float, told: list[str]) -> None:
    one = built([0.0] * 10, terminated=8.0)
    one = replace(one, events=(*one.events, Event(closed, "closed")))
    assert [mistake.evidence[:37] for mistake in diagnose(one)] == told
    failed = replace(one, ending=Ending("failed"))
    assert not diagnose(failed)  # the other side went first


def test_wav_header(tmp_path: Path) -> None:
    clip = open_raw(wav(tmp_path), keep_header=True)
    assert clip.samples == 16000 + 22
    for found in (diagnose(clip), diagnose(sent(clip))):
        assert only(found).name == "WAV header"


def test_a_header_inside_the_audio_of_a_sound_file_is_found(tmp_path: Path) -> None:
    inner = wav(tmp_path).read_bytes()
    path = tmp_path / "twice.wav"
    soundfile.write(path, np.frombuffer(inner, dtype="<i2"), 16000, subtype="PCM_16")
    clip = open_clip(path)
    for found in (diagnose(clip), diagnose(sent(clip))):
        assert found.names == ("WAV header",)


@pytest.mark.parametrize(
    ("edges", "evidence"),
    [
        ([0, 800, 960, 1120, 1920], "20.0 ms, in 2 of 4 chunks"),
        ([0, 800, 10400], "1200.0 ms, in 1 of 2 chunks"),
    ],
)
def test_chunk_out_of_bounds(make_clip: MakeClip, edges: list[int], evidence: str) -> None:
    session = sent(make_clip(1.3), edges=np.array(edges))
    assert rtkit.explain(session).name == "chunk out of bounds"
    mistake = only(diagnose(session))
    assert (mistake.name, mistake.evidence) == ("chunk out of bounds", evidence)
    assert "held less than 50 ms or more than 1000 ms of audio" in mistake.sentence


@pytest.mark.parametrize(
    ("seconds", "names"),
    [
        (0.049, ["chunk out of bounds"]),
        (0.05, []),
        (1.0, []),
        (1.001, ["chunk out of bounds"]),
    ],
)
def test_a_sample_decides_what_is_out_of_bounds(seconds: float, names: list[str]) -> None:
    assert [*diagnose(built([0.0] * 4, Message(5.0, ENDED), seconds=seconds)).names] == names


@pytest.mark.parametrize(
    ("lateness", "seconds", "pacing", "name", "evidence"),
    [
        ([0.0, -0.5], 0.5, "wall_clock", "unpaced", None),
        (
            [0.0, -0.625],
            0.5,
            "wall_clock",
            "unpaced",
            "0.5 s of audio were sent within -125 ms, 0.6 s",
        ),
        (
            [0.125, 0.0, -0.75],
            0.5,
            "unpaced",
            "unpaced",
            "1.0 s of audio were sent within 125 ms, 0.8",
        ),
        ([0.0, 0.5], 5.0, "fixed_sleep", "naive drift", None),
        (
            [0.0, 0.5625],
            5.0,
            "fixed_sleep",
            "naive drift",
            "fell 562 ms behind: 112.5 ms per second",
        ),
        ([0.25, 0.5], 5.0, "fixed_sleep", "naive drift", None),
    ],
)
def test_ahead_by_more_than_a_chunk_or_later_by_more_than_a_tenth_of_it(
    lateness: list[float], seconds: float, pacing: str, name: str, evidence: str | None
) -> None:
    one = built(lateness, Message(20.0, ENDED), seconds=seconds, pacing=pacing)
    found = [mistake.evidence for mistake in diagnose(one) if mistake.name == name]
    assert [text[: len(evidence or "")] for text in found] == (
        [] if evidence is None else [evidence]
    )


def test_a_service_without_a_least_chunk_takes_any() -> None:
    for seconds, expected in ((0.01, False), (1.5, False), (12.0, True)):
        one = built([0.0] * 4, seconds=seconds, service={"dialect": "deepgram"})
        assert ("chunk out of bounds" in diagnose(one).names) is expected


def test_bounds_are_said_as_far_as_a_service_has_them() -> None:
    assert _bounds(0.05, np.inf) == "less than 50 ms"
    assert _bounds(0.0, 9.0) == "more than 9000 ms"


def test_one_short_message_at_the_end_is_let_pass(make_clip: MakeClip) -> None:
    session = sent(make_clip(0.22), edges=np.array([0, 800, 1600, 1760]))
    assert session.chunks[-1].bytes == 320
    assert session.complete
    assert not diagnose(session)


def test_counted_twice() -> None:
    session = call(12, query={"format_turns": "true"}, finals=2)
    finals = [r for _, r in session.replies if isinstance(r, Turn) and r.end_of_turn]
    mistake = only(diagnose(session, transcript=" ".join(one.transcript for one in finals)))
    words, turns = len(session.transcript.split()), len(session.turns)
    assert turns > 1
    assert mistake.name == "counted twice"
    assert mistake.evidence == (
        f"{2 * words} words for {words} that were spoken; {2 * turns} finals of {turns} turns"
    )


@pytest.mark.parametrize("count", [1, 2, 5, 6])
def test_turns_that_never_ended_are_named(count: int) -> None:
    last = said(8.0, ("end", 7.0, 7.5), order=count, final=True)
    opened = [said(i + 1.0, ("word", i + 0.1, i + 0.9), order=i) for i in range(count)]
    one = built([0.0] * 80, *opened, last, Message(9.0, ENDED), terminated=8.5)
    numbers = ", ".join(map(str, range(min(count, 5)))) + ", ..." * (count > 5)
    assert only(diagnose(one)).evidence == (
        f"{count} of {count + 1} turns (number {numbers}), with {count} word{'s' * (count > 1)}"
    )
    # Without a Termination nobody was told that the last one would not end.
    unsaid = diagnose(built([0.0] * 80, *opened, terminated=8.5))
    assert unsaid.names == (("turn never ended",) if count > 1 else ())


def test_bearer_prefix() -> None:
    session = built([0.0], terminated=1.0, ending="complete")
    session = replace(session, events=(Event(-1.0, "bearer"), *session.events))
    mistake = only(diagnose(session))
    assert mistake.name == "Bearer prefix"


def test_several_mistakes_stand_in_one_table(tmp_path: Path) -> None:
    found = diagnose(
        open_raw(wav(tmp_path, channels=2), rate=8000, keep_header=True),
    )
    assert found.names == ("wrong sample rate", "stereo", "WAV header")
    page = found._repr_html_()
    assert page.count("<tr>") == 4
    assert all(name in page and name in str(found) for name in found.names)
    assert "&quot;RIFF&quot;" in page


def test_what_is_neither_session_nor_clip_is_refused() -> None:
    with pytest.raises(TypeError, match=r"a int cannot be diagnosed; .*rtkit\.explain"):
        diagnose(3007)  # type: ignore[arg-type]


# Committed on purpose.


def test_every_mistake_can_be_committed_and_is_found_out(tmp_path: Path) -> None:
    clip = open_clip(CALL, seconds=1.5)

    async def all_of_them() -> dict[str, Session]:
        async with rtkit.Loopback() as service:
            names = [name for name in _MISTAKES if name != "counted twice"]
            sessions = await asyncio.gather(
                *(reproduce(name, clip, service=service, work=0.05) for name in names),
                reproduce("counted twice", clip),
            )
        return dict(zip([*names, "counted twice"], sessions, strict=True))

    with asyncio.Runner() as runner:
        sessions = runner.run(all_of_them())
    assert set(sessions) == set(_MISTAKES)
    for name, session in sessions.items():
        finals = [r for _, r in session.replies if isinstance(r, Turn) and r.end_of_turn]
        kept = " ".join(one.transcript for one in finals)
        found = diagnose(session, transcript=kept if name == "counted twice" else None)
        assert found.names == (name,)
        path = session.save(tmp_path / f"{name}.jsonl")
        assert "bearer loopback" not in path.read_text().lower()
        assert diagnose(load_session(path)).names == found.names or name == "counted twice"
    assert 3007 in rtkit.explain(sessions["chunk out of bounds"]).codes


def test_an_unknown_mistake_is_loud() -> None:
    with pytest.raises(ValueError, match=r"unknown mistake 'typo'; one of 'unpaced', "):
        asyncio.run(reproduce("typo", silence(1.0)))


def test_a_service_that_cannot_be_reached_is_no_mistake() -> None:
    class Nowhere:
        async def connect_info(self, rate: int, reference: object) -> Endpoint:
            return Endpoint("ws://127.0.0.1:9/v3/ws", {"Authorization": "x"})

        def describe(self, reference: object) -> dict[str, Any]:
            return {"name": "nowhere"}

    with pytest.raises(StreamError, match="cannot be reached") as caught:
        asyncio.run(reproduce("unpaced", silence(1.0), service=Nowhere()))
    assert rtkit.explain(caught.value).name == "failed"


# Bytes taken as they are.


def test_raw_audio_is_the_files_bytes(tmp_path: Path) -> None:
    path = wav(tmp_path)
    clip = open_raw(path)
    (audio,) = clip.chunks(np.array([0, clip.samples]))
    assert audio == path.read_bytes()[44:]
    assert open_raw(path, seconds=0.25).samples == 4000
    bare = tmp_path / "bare.raw"
    bare.write_bytes(audio)
    assert open_raw(bare, rate=16000).samples == 16000
    assert not diagnose(open_raw(bare, rate=16000))


def test_raw_audio_that_cannot_be_is_refused(tmp_path: Path) -> None:
    bare = tmp_path / "bare.raw"
    bare.write_bytes(bytes(100))
    empty = tmp_path / "empty.raw"
    empty.touch()
    with pytest.raises(AudioError, match=r"no WAV header; give its sample rate"):
        open_raw(bare)
    with pytest.raises(AudioError, match=r"rate=0 is not a sample rate"):
        open_raw(bare, rate=0)
    with pytest.raises(AudioError, match="holds no samples"):
        open_raw(empty, rate=8000)
    with pytest.raises(AudioError, match="There is no file"):
        open_raw(tmp_path / "none.raw", rate=8000)


def test_a_process_would_open_the_file_rightly_and_is_refused(tmp_path: Path) -> None:
    clip = open_raw(wav(tmp_path))
    with pytest.raises(ValueError, match="opens the clip again"):
        asyncio.run(stream(clip, isolation="process", service=rtkit.Loopback()))


def test_a_key_with_its_scheme_is_refused_without_being_shown() -> None:
    with pytest.raises(ValueError, match="without the word Bearer") as caught:
        AssemblyAI(key="Bearer 0123").find_key()
    closure = rtkit.explain(caught.value)
    assert closure.name == "refused"
    assert "0123" not in str(closure)
