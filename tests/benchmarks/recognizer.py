"""The embedded service with a real recognizer: how right, how fast, and at whose expense?

    python tests/benchmarks/recognizer.py [--seconds 20] [--rounds 7] [RECORDING]

The recording, which has a reference beside it, is heard

unpaced
    once, whole, by a service that hears as fast as it can: for the word error rate, and for the
    real-time factor, which is computing time in seconds per second of audio;
paced
    in each round, by the wall clock in chunks of 50 ms, with the script and with the recognizer
    in turn: for how late finals come, and for how late the sender was beside either.

A final's latency counts from the end of its last word; its service time from when the chunk that
decided it left. Both are with the recognizer, and leave out turns that Terminate ended. The
sender's lateness is each session's p99, and the median of the rounds': the ratio is 1 where the
recognizer does not disturb the sender. Compare figures of one run, not runs: the two change places
from round to round, so that a busy host disturbs both alike.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
from pathlib import Path

import jiwer
import numpy as np
from ratios import ratio

import rtkit
from rtkit.analysis.statistics.quantiles import quantiles
from rtkit.analysis.timing.alignment import normalize
from rtkit.analysis.timing.latency import turn_latency
from rtkit.analysis.timing.turns import heard_words

CHUNK = 0.05
# No worse than beside the script, as far as seven rounds can tell: the script against itself came
# out at 1.8 or less in nine of ten runs, on two cores that others kept busy (resampled from 40).
NO_WORSE = 1.8


def plain(text: str) -> str:
    """The words in lower case, without punctuation."""
    return " ".join(filter(None, map(normalize, re.split(r"[\s—]+", text))))


async def accuracy(clip: rtkit.Clip) -> float | None:
    """The word error rate, where there is a reference."""
    wer = None
    async with rtkit.Loopback(engine="recognizer", max_speed=1e6) as service:
        session = await rtkit.stream(clip, pacing="unpaced", chunk=CHUNK, service=service)
    print(f"{session.settings.service['recognizer']}, {clip}, {os.cpu_count()} cores")
    if clip.reference is not None:
        wer = jiwer.wer(plain(clip.reference.transcript), plain(session.transcript))
        words = [word for word in heard_words(session) if word.spoken is not None]
        off = np.array([(word.word.end or 0) - word.spoken.end for word in words if word.spoken])
        low, middle, high = np.quantile(off * 1000, (0.1, 0.5, 0.9))
        print(f"word error rate              {wer:10.1%}")
        print(f"word ends off by, ms         {middle:10.0f}  ({low:.0f} at p10, {high:.0f} at p90)")
    computing = session.messages[-1].at - session.chunks[0].sent
    print(f"real-time factor             {computing / clip.seconds:10.3f}", flush=True)
    return wer


async def lateness(clip: rtkit.Clip, rounds: int) -> float:
    """The sender's beside the recognizer, as a multiple of that beside the script."""
    sessions: dict[str, list[rtkit.Session]] = {"script": [], "recognizer": []}
    for number in range(rounds):
        for engine in sorted(sessions, reverse=number % 2 == 0):  # the script first, then last, ...
            async with rtkit.Loopback(engine=engine) as service:
                sessions[engine].append(await rtkit.stream(clip, chunk=CHUNK, service=service))
    turns = [turn_latency(session) for session in sessions["recognizer"]]
    for part in ("latency", "service_time"):
        values = np.concatenate([getattr(turn, part)[turn.counted] for turn in turns]) * 1000
        final = quantiles(values)
        print(f"final {part.replace('_', ' ')} p50, ms".ljust(29) + f"{final.p50:10.1f}")
        print(f"final {part.replace('_', ' ')} p99, ms".ljust(29) + f"{final.p99:10.1f}")
    usual: dict[str, float] = {}
    for engine, measured in sessions.items():
        p99 = [quantiles(one.lateness * 1000).p99 for one in measured]
        usual[engine] = float(np.median(p99))
        each = ", ".join(f"{value:.2f}" for value in p99)
        print(f"lateness p99, {engine}, ms".ljust(29) + f"{usual[engine]:10.3f}  (of {each})")
    return usual["recognizer"] / usual["script"]


async def measure(recording: Path, seconds: float, rounds: int) -> None:
    wer = await accuracy(rtkit.open_clip(recording))
    late = await lateness(rtkit.open_clip(recording, seconds=seconds), rounds)
    print()
    ratio("sender's lateness p99, recognizer / script", late, NO_WORSE)
    if wer is not None:
        ratio("word error rate: wrong words / words spoken", wer, 0.2)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recording", type=Path, nargs="?", default=rtkit.bundled()[0])
    parser.add_argument("--seconds", type=float, default=20, help="a paced session")
    parser.add_argument("--rounds", type=int, default=7, help="of paced ones")
    options = parser.parse_args()
    asyncio.run(measure(options.recording, options.seconds, options.rounds))


if __name__ == "__main__":
    main()
