"""Common mistakes, committed on purpose: to see what a service does, and what `diagnose` says."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from rtkit.audio import MAX_RATE, Clip, open_raw
from rtkit.loopback.process import Loopback, embedded
from rtkit.pacing import chunk_edges
from rtkit.recording import StreamError
from rtkit.reference import Reference
from rtkit.sending.run import run_session, settings_of
from rtkit.sending.stream import Service, stream
from rtkit.services.endpoint import Endpoint
from rtkit.session import Session

__all__ = ["reproduce"]

CHUNK = 0.1
SHORT = 0.02  # seconds; what many audio libraries give by themselves


async def reproduce(
    mistake: str, clip: Clip, *, service: Service | None = None, work: float = 0.01
) -> Session:
    """Commit a common mistake on purpose, and return the facts, whatever the service did.

    Parameters
    ----------
    mistake : str
        By the name that `rtkit.diagnose` gives it.
    clip : Clip
        What is sent; some mistakes make a wrong file of it first.
    service : optional
        The embedded service without it. For ``"counted twice"`` it must format turns.
    work : float
        With ``"naive drift"``: seconds of work after each chunk.

    Returns
    -------
    Session
        Also where the service refused: ask `rtkit.explain` about it then.

    Raises
    ------
    ValueError
        If there is no such mistake.
    StreamError
        If the service cannot be reached.
    """
    if mistake not in _MISTAKES:
        raise ValueError(f"unknown mistake {mistake!r}; one of {', '.join(map(repr, _MISTAKES))}")
    own = Loopback(format_turns=True, finals=2) if _needs_formats(mistake, service) else None
    with tempfile.TemporaryDirectory(prefix="rtkit-") as folder:
        try:
            return await _MISTAKES[mistake](
                _Plan(clip, own or service or embedded(), work, Path(folder))
            )
        except StreamError as error:
            if not any(event.name == "connected" for event in error.session.events):
                raise
            return error.session
        finally:
            if own is not None:
                own.close()


def _needs_formats(mistake: str, service: Service | None) -> bool:
    return mistake == "counted twice" and service is None


@dataclass(frozen=True, slots=True)
class _Plan:
    clip: Clip
    service: Service
    work: float
    folder: Path

    def wav(self, channels: int = 1) -> Path:
        """The clip as a file of its own, the same in every channel."""
        path = self.folder / f"{self.clip.path.stem}.wav"
        (audio,) = self.clip.chunks(np.array([0, self.clip.samples]))
        samples = np.frombuffer(audio, dtype="<i2")
        soundfile.write(
            path, np.column_stack([samples] * channels), self.clip.rate, subtype="PCM_16"
        )
        return path

    async def stream(self, clip: Clip, **how: Any) -> Session:
        clip = replace(clip, reference=self.clip.reference)
        return await stream(clip, service=self.service, chunk=CHUNK, **how)

    async def run(self, *, edges: np.ndarray | None = None, shutdown: str = "wait") -> Session:
        clip = self.clip
        chunk = CHUNK if edges is None else float(edges[1]) / clip.rate
        settings = settings_of(
            clip,
            chunk=chunk,
            pacing="wall_clock",
            service=self.service.describe(clip.reference),
        )
        return await run_session(
            clip,
            settings,
            work=0.0,
            service=self.service,
            record=None,
            on_event=None,
            begin_timeout=10.0,
            termination_timeout=10.0,
            edges=chunk_edges(clip.samples, clip.rate, CHUNK) if edges is None else edges,
            shutdown=shutdown,
        )


class _Bearer:
    """A service that is introduced to with the word Bearer before the key."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def connect_info(self, rate: int, reference: Reference | None) -> Endpoint:
        right = await self._service.connect_info(rate, reference)
        key = right.headers["Authorization"]
        return Endpoint(right.url, {**right.headers, "Authorization": f"Bearer {key}"})

    def describe(self, reference: Reference | None) -> dict[str, Any]:
        return self._service.describe(reference)


async def _unpaced(plan: _Plan) -> Session:
    return await plan.stream(plan.clip, pacing="unpaced")


async def _naive_drift(plan: _Plan) -> Session:
    return await plan.stream(plan.clip, pacing="fixed_sleep", work=plan.work)


async def _wrong_sample_rate(plan: _Plan) -> Session:
    rate = plan.clip.rate
    return await plan.stream(
        open_raw(plan.wav(), rate=2 * rate if 2 * rate <= MAX_RATE else rate // 2)
    )


async def _stereo(plan: _Plan) -> Session:
    return await plan.stream(open_raw(plan.wav(channels=2)))


async def _wav_header(plan: _Plan) -> Session:
    return await plan.stream(open_raw(plan.wav(), keep_header=True))


async def _chunk_out_of_bounds(plan: _Plan) -> Session:
    clip = plan.clip
    inner = np.arange(0, clip.samples, round(SHORT * clip.rate), dtype=np.int64)
    return await plan.run(edges=np.append(inner, clip.samples))


async def _bearer_prefix(plan: _Plan) -> Session:
    return await replace(plan, service=_Bearer(plan.service)).stream(plan.clip)


async def _counted_twice(plan: _Plan) -> Session:
    return await plan.stream(plan.clip)


async def _no_terminate(plan: _Plan) -> Session:
    return await plan.run(shutdown="none")


async def _closed_too_soon(plan: _Plan) -> Session:
    return await plan.run(shutdown="hasty")


_MISTAKES: Mapping[str, Callable[[_Plan], Coroutine[Any, Any, Session]]] = {
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
