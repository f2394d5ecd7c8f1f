"""What holds for every dialect: its double tells the truth, keys stay hidden, ends are explained.

One scripted session with a known delay gives the same figures, whoever's words carry it. A new
dialect adds a row to `RULES`.
"""

from __future__ import annotations

import asyncio
import json
import pickle
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import MakeClip, simulate, spoken
from doubles import KEY, replayed, speaking, talk, unmarked
from facts import CALL
from matplotlib.figure import Figure

import rtkit
from rtkit.analysis.timing.latency import Latency, turn_latency, word_latency
from rtkit.analysis.timing.turns import heard_words
from rtkit.audio import Clip, open_clip
from rtkit.loopback.behavior import UNBOUNDED
from rtkit.loopback.log import Log
from rtkit.loopback.options import Options
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.stream import stream
from rtkit.services.asked import Asked
from rtkit.services.messages import CAUSES, Refusal, ServiceError
from rtkit.services.service import dialect_named, dialects, part_of, vendors
from rtkit.session import Ending, Session
from rtkit.views.colors import EVERY_PART
from rtkit.views.explained import explained

# Half a second of silence ends a turn, by each one's own names.
RULES: dict[str, dict[str, Any]] = {
    "assemblyai": {"min_turn_silence": 500, "max_turn_silence": 500},
    "deepgram": {"endpointing": 500},
    "soniox": {"max_endpoint_delay_ms": 500},
    "speechmatics": {"conversation_config": {"end_of_utterance_silence_trigger": 0.5}},
    "deepgram.flux": {"eot_timeout_ms": 500, "eot_threshold": 0.9},
    "openai": {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}},
    "openai.vllm": {},
}
ONE_TURN = ("openai.vllm",)  # until the session ends
PARTS = ("chunk_wait", "endpoint_wait", "lateness", "queue_wait", "service_time")
DELAY = 0.15
BY = pytest.mark.parametrize("pacing", ["wall_clock", "fixed_sleep"])
EACH = pytest.mark.parametrize("dialect", RULES)


@cache
def session(dialect: str, pacing: str) -> Session:
    clip = open_clip(CALL, seconds=25)
    rules = RULES[dialect]
    how: dict[str, Any] = {"pacing": pacing, "work": 0.003, "delay": DELAY}
    return simulate(talk(clip, dialect, parameters=rules, **how))


def test_there_is_a_row_for_each() -> None:
    assert {name.partition(".")[0] for name in RULES} == set(dialects())


@BY
@EACH
def test_the_same_session_has_the_same_figures(dialect: str, pacing: str) -> None:
    one, other = session(dialect, pacing), session("assemblyai", pacing)
    assert one.complete
    assert rtkit.wer(one).rate == rtkit.wer(other).rate == 0
    words, turns = word_latency(one), turn_latency(one)
    assert len(words) > 50
    if dialect in ONE_TURN:
        assert turns.excluded.tolist() == ["terminated"]
        turns = turn_latency(other)
    assert turns.counted.sum() > 5
    for mine, theirs in ((words, word_latency(other)), (turns, turn_latency(other))):
        assert mine.excluded.tolist() == theirs.excluded.tolist()
        for what in ("end", "received", "latency", *PARTS):
            found, known = getattr(mine, what), getattr(theirs, what)
            assert found[mine.counted] == pytest.approx(known[mine.counted], abs=1e-3), what
    stability = rtkit.partial_stability(one)  # a script has no second thoughts
    assert (stability.unstable, stability.erased) == (0, 0)
    adds_up(words)
    adds_up(turns)
    assert turns.service_time[turns.counted] == pytest.approx(DELAY, abs=1e-3)


ODD = {  # seconds of a chunk, of delay, of the clip; and what is said in it
    "from the first sample": (0.999, 0.4, 5.994, (("Hi", 0.0, 0.2), ("there.", 0.25, 0.5))),
    "to the last sample": (0.06, 0.0, 4.02, (("one.", 0.5, 0.8), ("two.", 3.4, 4.02))),
    "one word": (0.25, 1.2, 3.0, (("Word.", 1.0, 1.4),)),
    "in short chunks": (0.02, 0.2, 3.0, (("Word.", 1.0, 1.4),)),
    "thirty turns": (0.1, 0.3, 30.0, tuple((f"{n}.", n + 0.1, n + 0.3) for n in range(30))),
    "silence": (0.5, 0.15, 3.0, ()),
}


@EACH
@pytest.mark.parametrize("odd", ODD)
def test_odd_sessions_are_the_same_too_and_once_more_in_a_replay(
    make_clip: MakeClip, tmp_path: Path, dialect: str, odd: str
) -> None:
    chunk, delay, seconds, words = ODD[odd]
    chunk = max(chunk, dialect_named(dialect).limits.min_chunk or 0.0)
    clip = make_clip(seconds, rate=24000, reference=spoken(*words) if words else Reference(()))
    how: dict[str, Any] = {"chunk": chunk, "delay": delay}
    one, other = (
        simulate(talk(clip, name, parameters=RULES[name], **how)) for name in (dialect, "soniox")
    )
    again = simulate(replayed(clip, one.save(tmp_path / "a.jsonl"), chunk=chunk))
    for found, known in ((one, other), (again, one)):
        assert found.complete
        said = [each.transcript.lower().replace(".", "") for each in (found, known)]
        assert said[0] == said[1]
        pairs = [(word_latency(found), word_latency(known))]
        if dialect not in ONE_TURN:
            pairs.append((turn_latency(found), turn_latency(known)))
        for mine, theirs in pairs:
            assert mine.excluded.tolist() == theirs.excluded.tolist()
            adds_up(mine)
            for what in ("end", "received", "latency", *PARTS):
                pair = (getattr(latency, what)[mine.counted] for latency in (mine, theirs))
                assert next(pair) == pytest.approx(next(pair), abs=1e-3), what


@BY
@pytest.mark.parametrize("dialect", [name for name in RULES if name not in ONE_TURN])
def test_without_a_stamp_the_parts_lie_within_their_bounds(dialect: str, pacing: str) -> None:
    """What a real service does not say is bounded; the bounds hold the truth of the stamp."""
    stamped = session(dialect, pacing)
    truth, found = turn_latency(stamped), turn_latency(unmarked(stamped))
    assert set(truth.known) == {"stamped"}
    assert not set(found.known) & {"stamped"}
    assert found.latency == pytest.approx(truth.latency, abs=1e-9)
    adds_up(found)
    sure = found.counted & truth.counted
    assert sure.sum() > 5
    within(truth, found, "lateness", sure)
    within(truth, found, "since_sent", sure)
    within(truth, found, "service_time", sure & found.decided)
    kept = found.service_time[sure & found.decided]
    assert pacing == "fixed_sleep" or kept == pytest.approx(np.full(len(kept), DELAY), abs=1e-3)


def within(truth: Latency, found: Latency, part: str, where: np.ndarray) -> None:
    low, high = found.bounds(part)
    true = getattr(truth, part)
    assert np.all((low - 1e-3 <= true)[where]), part
    assert np.all((true <= high + 1e-3)[where]), part


def adds_up(latency: Latency) -> None:
    parts = sum(getattr(latency, part) for part in PARTS)
    assert latency.latency == pytest.approx(parts, abs=1e-9, nan_ok=True)


RECEIPTS = ("speechmatics",)
NETWORK = 0.06  # each way


@cache
def over_a_network(dialect: str, pacing: str = "wall_clock") -> Session:
    clip = open_clip(CALL, seconds=12)
    how: dict[str, Any] = {"pacing": pacing, "work": 0.003, "delay": DELAY, "network": NETWORK}
    return simulate(talk(clip, dialect, parameters=RULES[dialect], **how))


@BY
@pytest.mark.parametrize("dialect", RECEIPTS)
def test_receipts_part_the_network_from_the_service(dialect: str, pacing: str) -> None:
    one = over_a_network(dialect, pacing)
    words, turns, found = word_latency(one), turn_latency(one), turn_latency(unmarked(one))
    for latency in (words, turns, found):
        adds_up(latency)
        assert latency.confirmation[latency.counted] == pytest.approx(2 * NETWORK, abs=1e-3)
        parts = latency.parts
        assert np.nansum([*parts.values()], axis=0) == pytest.approx(latency.latency, abs=1e-9)
        assert np.isnan(parts["service_time"]).all()
        assert np.isnan(parts["since_sent"]).all()
    sure = found.counted & turns.counted
    assert sure.sum() > 2
    assert turns.after_confirmation[sure] == pytest.approx(DELAY, abs=1e-3)
    assert turns.quantiles("after_confirmation").count == sure.sum()
    assert found.quantiles("after_confirmation").count == 0  # without a stamp
    for part in ("confirmation", "since_confirmed"):
        within(turns, found, part, sure)
    assert "word service time after confirmation p50, ms" in str(rtkit.summarize(one))


@pytest.mark.parametrize(
    ("stamped", "rest", "whole"),
    [(True, "after_confirmation", "service_time"), (False, "since_confirmed", "since_sent")],
)
def test_views_show_confirmation_where_there_are_receipts(
    stamped: bool, rest: str, whole: str
) -> None:
    sessions = {name: over_a_network(name) for name in (*RECEIPTS, "assemblyai")}
    if not stamped:
        sessions = {name: unmarked(one) for name, one in sessions.items()}
    titles = {part.name: part.title for part in EVERY_PART}
    for name, one in sessions.items():
        confirmed = name in RECEIPTS
        expected = ["confirmation", rest] if confirmed else [whole]
        (worst,) = rtkit.worst_cases(one).cases.values()
        for parts in (explained(one)["turns"][0]["parts"], worst[0].parts):
            assert [*parts][-len(expected) :] == expected
            assert ("confirmation" in parts) is confirmed
        rtkit.plot_turn_latency(one, ax=(ax := Figure().subplots()))
        legend = ax.get_legend()
        assert legend is not None
        labels = [text.get_text().replace("\n", " ") for text in legend.get_texts()]
        assert [label for label in labels if "time" in label or "conf" in label] == [
            titles[part] for part in expected
        ]
        for what in ("words", "turns"):
            assert ("confirmation" in rtkit.to_frame(one, what)) is confirmed
        assert ("confirm" in str(rtkit.summarize(one))) is confirmed
    table = rtkit.to_frame(sessions, "turns")
    assert table.confirmation.notna().tolist() == (table.session != "assemblyai").tolist()


@pytest.mark.parametrize("dialect", dialects())
def test_what_its_double_says_of_each_cause_is_explained(dialect: str) -> None:
    """By its words alone, and with its code, never as something unknown."""
    facts = {"received": "400.1", "took": "1.2", "seconds": "10"}
    for cause in CAUSES:
        refusal = part_of(dialect, "server").Server.refusal(cause, **facts)
        closure = rtkit.explain(refusal.code, refusal.text, dialect=dialect)
        assert closure.name not in ("unknown", "refused"), (cause, refusal)
        assert closure.fix.endswith("."), cause


@pytest.mark.parametrize("dialect", dialects())
@pytest.mark.parametrize("code", [None, 400, 599, 1011, 4001])
def test_whatever_error_it_says_it_closes_with_a_code_of_a_websocket_s(
    dialect: str, code: int | None
) -> None:
    server = part_of(dialect, "server").Server({}, dialect_named(dialect).path)
    *_, close = server.write(ServiceError(code, "name: what was wrong"))
    assert 1000 <= close.code < 5000


@pytest.mark.parametrize("dialect", dialects())
def test_all_its_closures_have_a_cause_and_a_fix(dialect: str) -> None:
    for closure in rtkit.close_codes(dialect):
        assert closure.cause.endswith((".", ".)")), closure
        assert closure.fix.endswith("."), closure
        assert closure.evidence, closure


@pytest.mark.parametrize(
    ("dialect", "backlog", "longest"),
    [
        ("assemblyai", 300, 10800),
        ("deepgram", UNBOUNDED, 10800),
        ("deepgram.flux", UNBOUNDED, 10800),
        ("soniox", 300, 300 * 60),
        ("openai", 300, 3600),
        ("speechmatics", 300, 48 * 3600),
    ],
)
def test_how_much_and_how_long_are_its_own_limits(
    dialect: str, backlog: float, longest: float
) -> None:
    found = Options(protocol=dialect).behavior
    assert (found.backlog, found.max_duration) == (backlog, longest)
    asked = Options(protocol=dialect, backlog=2.0, max_duration=3.0)
    assert (asked.backlog, asked.max_duration) == (2.0, 3.0)
    assert Options.from_json(json.loads(json.dumps(asked.to_json()))) == asked


@pytest.mark.parametrize(
    ("dialect", "parameters"),
    [
        ("assemblyai", {"encoding": "opus"}),
        ("deepgram", {"encoding": "mulaw"}),
        ("deepgram.flux", {"channels": 2}),
        ("soniox", {"audio_format": "auto"}),
        ("soniox", {"num_channels": 2}),
        ("openai", {"format": {"type": "audio/pcmu"}}),
    ],
)
def test_an_encoding_that_is_not_sent_is_refused_before_connecting(
    make_clip: MakeClip, dialect: str, parameters: dict[str, Any]
) -> None:
    service = own(dialect, "127.0.0.1:1", parameters=parameters)
    (name,) = parameters
    with pytest.raises(ValueError, match=rf"'{name}'.* must be .*: rtkit sends 16-bit PCM"):
        asyncio.run(stream(make_clip(0.5), service=service))


def test_a_parameter_that_is_nested_too_deeply_is_refused() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(Refusal, match="'model' is nested too deeply"):
        Asked({"model": deep}, lambda text: Refusal(400, text)).text("model")


@EACH
def test_a_sound_session_has_no_mistake(dialect: str) -> None:
    one = session(dialect, "wall_clock")
    assert not rtkit.diagnose(one)
    assert one.terminated is not None
    unheard = tuple(each for each in one.messages if each.at < one.terminated)
    hasty = replace(one, messages=unheard, ending=Ending("stopped"))
    assert rtkit.diagnose(hasty).names == ("closed too soon",)


def test_a_service_whose_last_word_is_its_close_was_heard_out() -> None:
    """Flux settles nothing where no turn is open."""
    clip, rules = open_clip(CALL, seconds=3.6), RULES["deepgram.flux"]
    one = simulate(talk(clip, "deepgram.flux", parameters=rules))
    assert [reply for at, reply in one.replies if at >= 3.6] == []
    assert not rtkit.diagnose(one)
    assert rtkit.diagnose(replace(one, ending=Ending("stopped"))).names == ("closed too soon",)


@EACH
def test_every_view_takes_its_sessions(dialect: str, tmp_path: Path) -> None:
    one = session(dialect, "fixed_sleep")
    assert "word latency p50" in str(rtkit.summarize(one))
    assert "naive drift" in rtkit.diagnose(one).names
    assert rtkit.rescore(one)
    assert len(rtkit.to_frame(one, "words")) == len(heard_words(one)) > 50
    assert "library" in str(rtkit.show_transcript(one))
    assert rtkit.show_partials(one)
    path = one.save(tmp_path / "a.jsonl")
    again = rtkit.load_session(path)
    assert again.replies == one.replies
    if dialect == "openai":  # no word of which has a time
        assert rtkit.report(again, tmp_path / "a.html")


def own(dialect: str, host: str, key: str = KEY, **more: Any) -> Any:
    """The vendor's class, as a person makes it, for the embedded service."""
    folder, _, variant = dialect.partition(".")
    special = {"flux": {"model": "flux-general-en"}, "vllm": {"dialect": "vllm"}, "": {}}
    vendor: Any = vendors()[folder]
    return vendor(key=key, host=f"ws://{host}", **special[variant], **more)


async def against_its_double(
    clip: Clip, dialect: str, key: str = KEY, log: Log | None = None, **options: Any
) -> Session:
    async with speaking(dialect, log, script=clip.reference, **options) as host:
        return await stream(clip, service=own(dialect, host, key))


SAID = spoken(("Hello", 0.05, 0.2), ("there.", 0.25, 0.4))


@EACH
def test_its_own_class_runs_whole_sessions_against_its_double(
    make_clip: MakeClip, dialect: str
) -> None:
    lines: list[str] = []
    log = Log(lines.append, protocol=dialect)
    one = asyncio.run(against_its_double(make_clip(0.6, reference=SAID), dialect, log=log))
    assert one.complete
    assert lines[-1].endswith(" came")  # what ends a session
    assert one.transcript.lower().rstrip(".") == "hello there"
    assert one.settings.dialect == dialect
    assert rtkit.explain(one).name == "complete"


@pytest.mark.parametrize("dialect", ["soniox", "speechmatics", "deepgram.flux", "openai"])
def test_its_double_takes_chunks_as_long_as_the_service_does(
    make_clip: MakeClip, dialect: str
) -> None:
    """Megabytes each."""
    clip = make_clip(18.0, rate=48000 if dialect != "openai" else 24000, reference=SAID)

    async def session() -> Session:
        async with speaking(dialect, script=SAID) as host:
            there = own(dialect, host)
            # By its end, the chunk would wait until it was spoken.
            return await stream(clip, chunk=18.0, pacing="unpaced", phase="start", service=there)

    assert asyncio.run(session()).complete


@EACH
def test_its_class_goes_to_another_process_whole_and_shows_nothing(dialect: str) -> None:
    one = own(dialect, "127.0.0.1:1", "key-0123456789", parameters={"jwt": "secret-9876543210"})
    again = pickle.loads(pickle.dumps(one))
    assert again == one
    assert again.find_key() == "key-0123456789"
    shown = repr(one) + repr(vars(one)) + repr(one.describe())
    assert "0123456789" not in shown
    assert "9876543210" not in shown


@EACH
def test_a_refused_key_and_an_error_in_the_middle_are_explained(
    make_clip: MakeClip, dialect: str
) -> None:
    clip = make_clip(2.0, reference=SAID)
    with pytest.raises(StreamError) as failure:
        asyncio.run(against_its_double(clip, dialect, key="another"))
    assert rtkit.explain(failure.value).name == "key refused"
    with pytest.raises(StreamError) as failure:
        asyncio.run(against_its_double(clip, dialect, max_duration=0.4))
    assert rtkit.explain(failure.value).name in ("session too long", "service fault")
    assert failure.value.session.chunks


@EACH
def test_the_embedded_service_speaks_it(dialect: str) -> None:
    assert Options(protocol=dialect).protocol == dialect
    vendor = vendors()[dialect.partition(".")[0]]
    assert vendor.NAME in dir(rtkit)
