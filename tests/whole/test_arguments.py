"""An argument of the wrong type is refused in one sentence that names it."""

import re
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest

import rtkit

CLIP = rtkit.silence(1.0)
SESSION = rtkit.simulate(1.0)
WRONG: Any = "0.1"
ANY: Any = rtkit  # for arguments that no type checker lets pass
NONE: Any = None


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: rtkit.silence(WRONG), "seconds='0.1' is not a number; give a number of seconds"),
        (lambda: rtkit.simulate(1.0, chunk=NONE), "chunk=None is not a number"),
        (lambda: rtkit.simulate(1.0, work=WRONG), "work='0.1' is not a number"),
        (lambda: rtkit.simulate(1.0, network=WRONG), "network='0.1' is not a number"),
        (lambda: rtkit.simulate(1.0, catch_up=WRONG), "catch_up='0.1' is not a number"),
        (lambda: rtkit.validity(SESSION, budget=WRONG), "budget='0.1' is not a number"),
        (lambda: rtkit.Loopback(delay=WRONG), "delay='0.1' is not a number"),
        (lambda: rtkit.Loopback(max_speed=WRONG), "max_speed='0.1' is not a number"),
        (lambda: rtkit.Loopback(max_sessions=WRONG), "max_sessions='0.1' is not a number"),
        (lambda: rtkit.run(rtkit.stream(CLIP, work=WRONG)), "work='0.1' is not a number"),
        (
            lambda: rtkit.run(rtkit.stream(CLIP, termination_timeout=WRONG)),
            "termination_timeout='0.1' is not a number",
        ),
        (lambda: rtkit.run(rtkit.sweep(CLIP, repeats=WRONG)), "repeats='0.1' is not a number"),
        (
            lambda: rtkit.run(rtkit.stream_many([CLIP], sessions_per_minute=WRONG)),
            "sessions_per_minute='0.1' is not a number",
        ),
        (lambda: rtkit.worst_cases(SESSION, count=WRONG), "count='0.1' is not a number"),
        (lambda: rtkit.quantile_intervals(SESSION, level=WRONG), "level='0.1' is not a number"),
        (lambda: rtkit.play(CLIP, rate=WRONG), "rate='0.1' is not a number"),
        (lambda: rtkit.play(WRONG), "'0.1' is not a clip; give rtkit.open_clip(PATH)"),
        (lambda: rtkit.timeline(SESSION, clip=WRONG), "'0.1' is not a clip"),
        (lambda: rtkit.progress(WRONG), "'0.1' is not a clip"),
        (lambda: rtkit.senders_share(ANY.silence(1.0)), "a _Silence is not a latency"),
        (lambda: rtkit.load_session(ANY.silence(1.0)), "a _Silence is not a path"),
    ],
)
def test_wrong_types_are_refused_in_a_sentence(call: Callable[[], object], told: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(told)}"):
        call()


@pytest.mark.parametrize("dialect", [None, 7, "asemblyai"])
def test_what_names_no_dialect_is_refused(dialect: Any) -> None:
    with pytest.raises(ValueError, match=r"^unknown dialect "):
        rtkit.close_codes(dialect)


def test_a_misspelt_measure_is_refused_before_anything_is_drawn() -> None:
    with pytest.raises(ValueError, match=r"^unknown measure 'word_latencies'; did you mean"):
        rtkit.plot_distribution(SESSION, "word_latencies", ax=plt.figure().gca())


def test_files_of_many_sessions_are_one_each(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^1 record for 2 clips"):
        rtkit.run(rtkit.stream_many([CLIP] * 2, record=[tmp_path / "a.jsonl"]))


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_raw_samples_of_no_length_are_refused(seconds: float) -> None:
    with pytest.raises(rtkit.AudioError, match=r"is not a length; give seconds above 0"):
        rtkit.open_raw(rtkit.bundled()[0], seconds=seconds)


@pytest.mark.parametrize(
    "call",
    [
        lambda at: rtkit.run(rtkit.sweep(CLIP, simulated=True, progress=False, folder=at)),
        lambda at: rtkit.run(rtkit.stream(CLIP, record=at / "a.jsonl")),
        lambda at: rtkit.report(SESSION, at / "page.html"),
    ],
)
def test_a_file_where_a_folder_must_be_is_said_to_be_one(
    call: Callable[[Path], object], tmp_path: Path
) -> None:
    file = tmp_path / "runs"
    file.write_text("notes")
    with pytest.raises(OSError, match=r"a file, not a folder; give another path: .*runs"):
        call(file)
    assert file.read_text() == "notes"


@pytest.mark.parametrize("port", ["eight", "-1", "70000"])
@pytest.mark.parametrize("command", ["loopback.command", "tap.__main__"])
def test_what_is_no_port_is_refused_before_anything_starts(
    command: str, port: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["rtkit", f"--port={port}"])
    with pytest.raises(SystemExit) as ended:
        import_module(f"rtkit.{command}").main()
    assert ended.value.code == 2
    assert f"{port}" in capsys.readouterr().err.splitlines()[-1]


def test_a_tap_records_into_no_file(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("notes")
    with pytest.raises(ValueError, match=r"runs' is a file; give a folder$"):
        rtkit.Tap(record=tmp_path / "runs")
