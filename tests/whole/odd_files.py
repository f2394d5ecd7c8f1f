"""Sessions' files with odd values in them, and everything that is asked of what loads.

``python tests/whole/odd_files.py [SECONDS] [SEED]`` tries as many as it can in that time, figures
and pages included, and prints what raised anything but one of rtkit's own sentences.
"""

from __future__ import annotations

import io
import json
import random
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import rtkit
from rtkit.session import Session

CALL = Path(__file__).parents[2] / "data" / "library_call.wav"
SECONDS = 3.0

Place = tuple[int, tuple[str | int, ...], bool]  # a line, where in it, whether in a message's text


def nested(depth: int) -> list[Any]:
    inside: list[Any] = []
    for _ in range(depth):
        inside = [inside]
    return inside


ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, 2, -1, 0.5, -0.5, 1e5, 1e15, 1e300, -1e300, 1e-300, 2**63, 10**400),
    *(float("nan"), float("inf"), -float("inf"), "", "1", "1e3", "x" * 1000, "loop", "wall_clock"),
    *("\ud800", "\x00\x1b[31m\u202e", "2025-13-45", "0001-01-01", "../../x", "<script>"),
    *([], {}, [1], [[]], [[1]], [[1, 2, 3]], [None], {"a": 1}, {"text": "x"}, nested(30)),
)


def places(lines: Sequence[str]) -> list[Place]:
    """Each place where a value stands: of lines of a kind the first, and one in the middle."""
    kinds: dict[str, list[int]] = {}
    for number, line in enumerate(lines):
        said = json.loads(line)
        kind = json.loads(said["text"])["type"] if said["kind"] == "message" else said["kind"]
        kinds.setdefault(kind, []).append(number)
    found: list[Place] = []
    for numbers in kinds.values():
        for number in {numbers[0], numbers[len(numbers) // 2]}:
            said = json.loads(lines[number])
            found += [(number, path, False) for path in _paths(said)]
            if said["kind"] == "message":
                found += [(number, path, True) for path in _paths(json.loads(said["text"]))]
    return found


def _paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inside = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        inside = enumerate(value[:2])  # type: ignore[assignment]
    for name, one in inside:
        yield (*path, name)
        yield from _paths(one, (*path, name))


def changed(lines: Sequence[str], place: Place, value: Any) -> str:
    """The file with that value in that place."""
    number, path, in_message = place
    said = json.loads(lines[number])
    inside = json.loads(said["text"]) if in_message else said
    at = inside
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    if in_message:
        said["text"] = json.dumps(inside)
    return "\n".join([*lines[:number], json.dumps(said), *lines[number + 1 :]]) + "\n"


def cheap(folder: Path) -> dict[str, Callable[[Session], object]]:
    """What is asked of a session, but for figures and pages."""
    return {
        "repr": repr,
        "transcript": lambda s: s.transcript,
        "validity": lambda s: repr(rtkit.validity(s)),
        "summarize": lambda s: (str(rtkit.summarize(s)), rtkit.summarize(s)._repr_html_()),
        "diagnose": lambda s: str(rtkit.diagnose(s)),
        "explain": lambda s: str(rtkit.explain(s)),
        "rescore": lambda s: str(rtkit.rescore(s)),
        "frames": lambda s: [
            rtkit.to_frame(s, kind) for kind in ("chunks", "words", "turns", "sessions")
        ],
        "drift": lambda s: (rtkit.drift(s), rtkit.jitter(s)),
        "latency": lambda s: [
            rtkit.quantiles(found.latency)
            for found in (rtkit.word_latency(s), rtkit.turn_latency(s), rtkit.first_word_latency(s))
            if len(found)
        ],
        "share": lambda s: rtkit.senders_share(rtkit.turn_latency(s)),
        "wer": lambda s: str(rtkit.wer(s)),
        "show_transcript": lambda s: rtkit.show_transcript(s)._repr_html_(),
        "show_partials": lambda s: rtkit.show_partials(s)._repr_html_(),
        "save": lambda s: rtkit.load_session(s.save(folder / "again.jsonl")),
        "txt": lambda s: rtkit.save_transcript(s, folder / "a.txt"),
        "srt": lambda s: rtkit.save_transcript(s, folder / "a.srt"),
        "vtt": lambda s: rtkit.save_transcript(s, folder / "a.vtt"),
        "json": lambda s: rtkit.save_transcript(s, folder / "a.json"),
    }


def dear(folder: Path) -> dict[str, Callable[[Session], object]]:
    """Figures and pages."""
    clip = rtkit.open_clip(CALL, seconds=SECONDS)

    def drawn(draw: Callable[[Any, Any], object]) -> Callable[[Session], object]:
        def on_axes(session: Session) -> None:
            figure = Figure()
            draw(session, figure.add_subplot())
            figure.savefig(io.BytesIO(), format="png", dpi=20)

        return on_axes

    return {
        "report": lambda s: rtkit.report(s, folder / "a.html"),
        "interactive": lambda s: rtkit.timeline(s).html,
        "play": lambda s: rtkit.play(clip, s).html,
        "intervals": lambda s: str(rtkit.quantile_intervals([s, s])),
        "comparison": lambda s: rtkit.plot_comparison({"a": s}).savefig(io.BytesIO(), dpi=20),
        "distributions": lambda s: rtkit.plot_distributions([s]).savefig(io.BytesIO(), dpi=20),
        "lateness": drawn(lambda s, ax: rtkit.plot_lateness(s, ax=ax)),
        "timeline": drawn(lambda s, ax: rtkit.plot_timeline(s, ax=ax)),
        "turns": drawn(lambda s, ax: rtkit.plot_turn_latency(s, ax=ax)),
        "rescored": drawn(lambda s, ax: rtkit.plot_rescored(s, ax=ax)),
        "distribution": drawn(lambda s, ax: rtkit.plot_distribution([s], ax=ax)),
    }


def fault(ask: Callable[[Session], object], session: Session) -> str | None:
    """What was raised that is not a sentence of rtkit's own."""
    try:
        ask(session)
    except Exception as error:
        last = traceback.extract_tb(error.__traceback__)[-1]
        ours = Path(last.filename).is_relative_to(Path(rtkit.__file__).parent)
        if not (ours and isinstance(error, ValueError | TypeError | rtkit.AudioError)):
            return f"{type(error).__name__}: {str(error)[:90]} ({last.name}, line {last.lineno})"
        if isinstance(error, TypeError) and not str(error).endswith("."):
            return f"TypeError: {str(error)[:90]}"
    return None


def example() -> list[str]:
    """The lines of a file that is as it should be."""
    session = rtkit.simulate(rtkit.open_clip(CALL, seconds=SECONDS), work=0.003)
    with tempfile.TemporaryDirectory() as folder:
        return session.save(Path(folder) / "a.jsonl").read_text().splitlines()


def main(seconds: float = 60.0, seed: int = 0) -> None:
    warnings.simplefilter("ignore")
    draws, lines = random.Random(seed), example()
    there = places(lines)
    tried, loaded, found = 0, 0, Counter[str]()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        every, figures = cheap(folder), dear(folder)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            place, value = draws.choice(there), draws.choice(ODD)
            path = folder / "odd.jsonl"
            path.write_text(changed(lines, place, value))
            tried += 1
            try:
                session = rtkit.load_session(path)
            except ValueError:
                continue
            loaded += 1
            asked = {**every, **dict(draws.sample(sorted(figures.items()), 2))}
            for what, ask in asked.items():
                if (raised := fault(ask, session)) is not None:
                    found[f"{what}: {raised}, of {place} = {value!r:.60}"] += 1
    print(f"{tried} files, of which {loaded} were read; {found.total()} faults")
    for text, times in found.most_common():
        print(f"{times} x {text}")


if __name__ == "__main__":
    given = sys.argv[1:3]
    main(float(given[0]) if given else 60.0, int(given[1]) if len(given) > 1 else 0)
