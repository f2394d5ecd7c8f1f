"""Do the intervals hold the truth as often as they say?

    python tests/benchmarks/coverage.py [--rounds 1000] [--only sessions recordings pairs rates]

Makes up measurements whose truth is known, time and again, and counts how often the interval holds
it: of the intervals that bear no note (the aim is 92 % at a level of 95 %), and of all. A case in
which every interval bears a note prints a dash, and the note. Beside it stands the reference of the
same run, which has no notes: the percentiles of so many drawn, whole units at a time.

Of pairs, what does not hold the truth is a false alarm where the truth is 0: "not shown" was the
right answer.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from ratios import ratio

from rtkit.analysis.accuracy.wer_result import Edit, WordErrorRate
from rtkit.analysis.statistics.bootstrap import RESAMPLES, Interval, bootstrap, bootstrap_quantiles
from rtkit.analysis.statistics.paired import paired_difference

LEVEL = 0.95
AIM = 0.92
QUANTILES = (0.5, 0.95, 0.99)
TURNS = 20
Generator = np.random.Generator


@dataclass
class Count:
    """How often the intervals of a case held the truth."""

    case: str
    intervals: int = 0
    held: int = 0
    none: int = 0
    unnoted: int = 0
    unnoted_held: int = 0
    reference_held: int = 0
    note: str = ""

    def add(self, found: Interval, truth: float, reference: tuple[float, float]) -> None:
        holds = found.low <= truth <= found.high
        self.intervals += 1
        self.held += holds
        self.none += math.isnan(found.low)
        self.reference_held += reference[0] <= truth <= reference[1]
        if found.note:
            self.note = found.note
        else:
            self.unnoted += 1
            self.unnoted_held += holds

    @property
    def coverage(self) -> float:
        """Of intervals that bear no note; NaN if all do."""
        return self.unnoted_held / self.unnoted if self.unnoted else math.nan

    def __str__(self) -> str:
        every = self.held / (self.intervals - self.none) if self.intervals > self.none else math.nan
        shares = [
            f"{'—':>8}" if math.isnan(share) else f"{share:8.1%}"
            for share in (self.coverage, every, self.reference_held / self.intervals)
        ]
        return (
            f"{self.case:58} {self.unnoted / self.intervals:8.0%} {' '.join(shares)}  {self.note}"
        )


HEAD = f"{'':58} {'no note':>8} {'hold':>8} {'all hold':>8} {'drawn':>8}"


def percentiles(drawn: np.ndarray) -> tuple[float, float]:
    low, high = np.quantile(drawn, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return float(low), float(high)


# Sessions, and recordings.


@dataclass(frozen=True)
class Effect:
    """How sessions differ: `make` draws latencies, shape (sessions, turns), in seconds."""

    name: str
    make: Callable[[Generator, int, int], np.ndarray] = field(repr=False)


def normal(share: float) -> Callable[[Generator, int, int], np.ndarray]:
    """So much of the variance lies between sessions."""

    def make(generator: Generator, sessions: int, turns: int) -> np.ndarray:
        between = generator.normal(size=(sessions, 1)) * math.sqrt(share)
        return between + generator.normal(size=(sessions, turns)) * math.sqrt(1 - share)

    return make


def exponential(share: float) -> Callable[[Generator, int, int], np.ndarray]:
    def make(generator: Generator, sessions: int, turns: int) -> np.ndarray:
        between = share * generator.exponential(size=(sessions, 1))
        return between + (1 - share) * generator.exponential(size=(sessions, turns))

    return make


def one_in_ten(worse: float) -> Callable[[Generator, int, int], np.ndarray]:
    def make(generator: Generator, sessions: int, turns: int) -> np.ndarray:
        bad = worse * (generator.random((sessions, 1)) < 0.1)
        return bad + generator.normal(size=(sessions, turns))

    return make


EFFECTS = (
    Effect("sessions alike", normal(0.02)),
    Effect("half between sessions", normal(0.5)),
    Effect("nearly all between sessions", normal(0.9)),
    Effect("log-normal, most between", lambda *how: np.exp(normal(0.7)(*how))),
    Effect("exponential, half between", exponential(0.5)),
    Effect("one session in ten worse", one_in_ten(3.0)),
)


@cache
def truth(effect: Effect) -> np.ndarray:
    values = effect.make(np.random.default_rng(99), 1_000_000, 1)
    return np.asarray(np.quantile(values, QUANTILES))


def of_quantiles(
    effect: Effect,
    units: int,
    each: int,
    rounds: int,
    seed: int,
    called: str,
    *,
    resamples: int = RESAMPLES,
    drawn: int = 200,
) -> Iterator[Count]:
    """Units of `each` sessions of 20 turns; all sessions of a recording share its effect.

    The reference is of so many `drawn`.
    """
    counts = [
        Count(f"p{quantile * 100:g} of {units:3} {called} x {each}, {effect.name}")
        for quantile in QUANTILES
    ]
    generator = np.random.default_rng(seed)
    labels = np.repeat(np.arange(units), each * TURNS)
    for number in range(rounds):
        values = effect.make(generator, units, each * TURNS)
        found = bootstrap_quantiles(
            values.ravel(),
            QUANTILES,
            units=labels,
            called=called,
            resamples=resamples,
            seed=number,
        )
        chosen = generator.integers(units, size=(drawn, units))
        reference = np.quantile(values[chosen].reshape(drawn, -1), QUANTILES, axis=1)
        for count, one, true, row in zip(counts, found, truth(effect), reference, strict=True):
            count.add(one, float(true), percentiles(row))
    yield from counts


# Pairs.


PAIRS: dict[str, Callable[[Generator, int], np.ndarray]] = {
    "normal": lambda generator, size: generator.normal(size=size),
    "uniform": lambda generator, size: generator.random(size) - 0.5,
    "t with 3 degrees of freedom": lambda generator, size: generator.standard_t(3, size=size),
    "exponential (skewed)": lambda generator, size: generator.exponential(size=size) - 1,
    "log-normal (skewed)": lambda g, size: np.exp(g.normal(size=size)) - math.exp(0.5),
}


def of_pairs(kind: str, pairs: int, rounds: int, seed: int) -> Iterator[Count]:
    count = Count(f"mean of {pairs:3} paired differences, {kind}")
    generator = np.random.default_rng(seed)
    before = dict.fromkeys(range(pairs), 0.0)
    for number in range(rounds):
        after = PAIRS[kind](generator, pairs)
        found = paired_difference(before, dict(enumerate(after)), resamples=2000, seed=number)
        drawn = after[generator.integers(pairs, size=(1000, pairs))].mean(axis=1)
        count.add(found.mean, 0.0, percentiles(drawn))
    yield count


# Error rates.


def clumps(share: float) -> Callable[[Generator, np.ndarray], np.ndarray]:
    """So many segments are lost as a whole, and of the others 3 % of the words."""

    def make(generator: Generator, words: np.ndarray) -> np.ndarray:
        lost = generator.random(len(words)) < share
        return np.where(lost, words, generator.binomial(words, 0.03))

    return make


RATES: dict[str, tuple[float, Callable[[Generator, np.ndarray], np.ndarray]]] = {
    "every word as likely": (0.1, lambda generator, words: generator.binomial(words, 0.1)),
    "segments unlike": (
        0.15,
        lambda g, words: g.binomial(words, g.beta(1.5, 8.5, len(words))),
    ),
    "one segment in ten lost": (0.1 + 0.9 * 0.03, clumps(0.1)),
    "one segment in twenty lost": (0.05 + 0.95 * 0.03, clumps(0.05)),
}


def rated(errors: Sequence[int], words: Sequence[int]) -> WordErrorRate:
    edits: list[Edit] = []
    for segment, (wrong, count) in enumerate(zip(errors, words, strict=True)):
        edits += [Edit("substitution", "w", "x", segment)] * wrong
        edits += [Edit("hit", "w", "w", segment)] * (count - wrong)
    return WordErrorRate(tuple(edits), len(words), "turns")


def of_rates(kind: str, segments: int, rounds: int, seed: int) -> Iterator[Count]:
    rates = Count(f"error rate of {segments:3} turns, {kind}")
    apart = Count(f"difference of two rates, {segments:3} turns, {kind}")
    generator = np.random.default_rng(seed)
    true, make = RATES[kind]
    for number in range(rounds):
        words = generator.integers(3, 25, segments)
        both = [make(generator, words) for _ in range(2)]
        one, other = (rated(errors.tolist(), words.tolist()) for errors in both)
        rest = [np.stack([errors, words], axis=1) for errors in (both[0], both[0] - both[1])]
        drawn = [bootstrap(sums, resamples=1000, generator=generator) for sums in rest]
        shares = [percentiles(sums[:, 0] / sums[:, 1]) for sums in drawn]
        rates.add(one.bootstrap(resamples=2000, seed=number), true, shares[0])
        found = one.difference(other, resamples=2000, seed=number)
        apart.add(found.interval, 0.0, shares[1])
    yield from (rates, apart)


# All of it.


def cases(only: Sequence[str], rounds: int, seed: int) -> Iterator[Count]:
    if "sessions" in only:
        for effect in EFFECTS:
            for sessions in (2, 3, 5, 10, 20, 50, 72, 100):
                yield from of_quantiles(effect, sessions, 1, rounds, seed, "sessions")
        for effect in EFFECTS[1:4]:
            yield from of_quantiles(effect, 368, 1, rounds, seed, "sessions")
    if "recordings" in only:
        for files, repeats in ((2, 5), (3, 4), (6, 2), (10, 5), (20, 3), (72, 2)):
            for effect in EFFECTS[1:3]:
                yield from of_quantiles(effect, files, repeats, rounds, seed, "recordings")
    if "pairs" in only:
        for kind in PAIRS:
            for pairs in (2, 3, 4, 5, 7, 9, 10, 15, 30):
                yield from of_pairs(kind, pairs, rounds, seed)
    if "rates" in only:
        for kind in RATES:
            for segments in (2, 5, 20, 40, 72, 100, 200):
                yield from of_rates(kind, segments, rounds, seed)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    groups = ("sessions", "recordings", "pairs", "rates")
    parser.add_argument("--rounds", type=int, default=1000, help="measurements made up a case")
    parser.add_argument("--only", nargs="+", choices=groups, default=groups)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    print(HEAD)
    found = []
    for count in cases(options.only, options.rounds, options.seed):
        print(count, flush=True)
        found.append(count)
    print()
    error = math.sqrt(AIM * (1 - AIM) / options.rounds)
    print(f"Chance alone moves a share by {error:.1%} (one standard error of {options.rounds}).")
    skewed = [count for count in found if "skewed" in count.case]
    for name, some in (("", [one for one in found if one not in skewed]), (", skewed", skewed)):
        seen = [count for count in some if count.unnoted]
        if seen:
            worst = min(seen, key=lambda count: count.coverage)
            print(f"The worst without a note{name}: {worst.case.strip()}.")
            aim = None if name else 1 - AIM
            ratio(f"miss the truth without a note, worst case{name}", 1 - worst.coverage, aim)
    alarms = [one for one in found if "paired" in one.case and ", normal" in one.case]
    if alarms:
        most = max(1 - one.coverage for one in alarms if one.unnoted)
        ratio("false alarms of paired differences, normal, worst case", most, 0.07)


if __name__ == "__main__":
    main()
