"""Common mistakes made on purpose, to see how a service and `diagnose` react."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rtkit.audio import Clip, open_raw
from rtkit.boundary.text import unknown
from rtkit.loopback.process import Loopback, embedded
from rtkit.pacing import Plan
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.connect import Way, way_to
from rtkit.sending.options import Options, Shutdown
from rtkit.sending.stream import check_sides, stream_plan
from rtkit.services.endpoint import Endpoint
from rtkit.services.service import Service
from rtkit.session import Session

__all__ = ["reproduce"]

CHUNK = 0.1
SHORT = 0.02  # seconds; what many audio libraries give by themselves


async def reproduce(
    mistake: str, clip: Clip, *, service: Service | None = None, work: float = 0.01
) -> Session:
    """Make a common mistake on purpose, and return the session whatever the service did.

    Parameters
    ----------
    mistake : str
        The name that `rtkit.diagnose` gives it.
    clip : Clip
        What is sent; for some mistakes, a wrong file is made from it first.
    service : optional
        By default, the embedded service. For ``"counted twice"``, it must format turns.
    work : float
        With ``"naive drift"``: seconds of work after each chunk.

    Returns
    -------
    Session
        Also if the service refused it; then see `rtkit.explain`.

    Raises
    ------
    ValueError
        If the mistake is unknown.
    StreamError
        If the service cannot be reached.
    """
    if mistake not in _MISTAKES:
        raise ValueError(unknown("mistake", mistake, _MISTAKES))
    check_sides(clip, service)
    formats = mistake == "counted twice" and service is None
    own = Loopback(format_turns=True, finals=2) if formats else None
    with tempfile.TemporaryDirectory(prefix="rtkit-") as folder:
        try:
            return await _MISTAKES[mistake](
                _Case(clip, own or service or embedded(), work, Path(folder))
            )
        except StreamError as error:
            if not any(event.name == "connected" for event in error.session.events):
                raise
            return error.session
        finally:
            if own is not None:
                own.close()


@dataclass(frozen=True, slots=True)
class _Case:
    clip: Clip
    service: Service
    work: float
    folder: Path

    def wav(self, channels: int = 1) -> Path:
        """The clip as a file of its own, the same in every channel."""
        path = self.folder / f"{self.clip.stem}.wav"
        (audio,) = self.clip.chunks(np.array([0, self.clip.samples]))
        samples = np.frombuffer(audio, dtype="<i2")
        soundfile.write(
            path, np.column_stack([samples] * channels), self.clip.rate, subtype="PCM_16"
        )
        return path

    def plan(self, pacing: str = "wall_clock") -> Plan:
        return Plan.of(self.clip, chunk=CHUNK, pacing=pacing, limits=self.way.dialect.limits)

    @property
    def way(self) -> Way:
        return way_to(self.service, self.clip)

    async def send(
        self, plan: Plan | None = None, *, clip: Clip | None = None, **how: Any
    ) -> Session:
        case = replace(self, clip=replace(clip or self.clip, reference=self.clip.reference))
        return await stream_plan(case.clip, plan or case.plan(), Options(**how), case.way)


class _Bearer:
    """A service that is introduced to with the word Bearer before the key."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        right = await self._service.connect_info(rate, reference)
        headers = {
            **right.headers,
            "Authorization": f"Bearer {right.headers['Authorization']}",
        }
        return replace(right, headers=headers)

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return self._service.describe(reference)


async def _unpaced(case: _Case) -> Session:
    return await case.send(case.plan("unpaced"))


async def _naive_drift(case: _Case) -> Session:
    return await case.send(case.plan("fixed_sleep"), work=case.work)


async def _wrong_sample_rate(case: _Case) -> Session:
    rate = case.clip.rate
    rates = case.way.dialect.limits.rates
    wrong = 2 * rate if rates is None or 2 * rate in rates else rate // 2
    return await case.send(clip=open_raw(case.wav(), rate=wrong))


async def _stereo(case: _Case) -> Session:
    return await case.send(clip=open_raw(case.wav(channels=2)))


async def _wav_header(case: _Case) -> Session:
    return await case.send(clip=open_raw(case.wav(), keep_header=True))


async def _chunk_out_of_bounds(case: _Case) -> Session:
    clip = case.clip
    inner = np.arange(0, clip.samples, round(SHORT * clip.rate), dtype=np.int64)
    edges = np.append(inner, clip.samples)
    return await case.send(Plan(edges, clip.rate, float(edges[1]) / clip.rate))


async def _bearer_prefix(case: _Case) -> Session:
    return await replace(case, service=_Bearer(case.service)).send()


async def _counted_twice(case: _Case) -> Session:
    return await case.send()


async def _no_terminate(case: _Case) -> Session:
    return await case.send(shutdown=Shutdown.NONE)


async def _closed_too_soon(case: _Case) -> Session:
    return await case.send(shutdown=Shutdown.HASTY)


_MISTAKES: Mapping[str, Callable[[_Case], Coroutine[Any, Any, Session]]] = {
    "unpaced": _unpaced,
    "naive drift": _naive_drift,
    "wrong sample rate": _wrong_sample_rate,
    "stereo": _stereo,
    "no Terminate": _no_terminate,
    "WAV header": _wav_header,
    "chunk out of bounds": _chunk_out_of_bounds,
    "Bearer prefix": _bearer_prefix,
    "counted twice": _counted_twice,
    "closed too soon": _closed_too_soon,
}
