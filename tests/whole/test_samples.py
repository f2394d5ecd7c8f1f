"""Real speech of every coding and rate, all at once, through the embedded service."""

from __future__ import annotations

import asyncio
from pathlib import Path

from rtkit.audio import SUFFIXES, open_clip
from rtkit.loopback.process import embedded
from rtkit.sending.stream import stream
from rtkit.services.messages import Termination
from rtkit.session import Session


def test_every_recording_arrives_whole_at_the_pace_of_speech(samples: Path) -> None:
    clips = [
        open_clip(path, seconds=10) for path in sorted(samples.iterdir()) if path.suffix in SUFFIXES
    ]
    assert {clip.path.suffix for clip in clips} >= {".wav", ".flac", ".mp3", ".ogg"}

    async def together() -> list[Session]:
        return await asyncio.gather(*(stream(clip, chunk=0.1) for clip in clips))

    try:
        sessions = asyncio.run(together())
    finally:
        embedded().close()
    for clip, session in zip(clips, sessions, strict=True):
        ended = session.replies[-1][1]
        assert isinstance(ended, Termination)
        assert session.bytes_sent == 2 * clip.samples == ended.bytes_received, clip
        assert session.transcript, clip
        assert session.complete, clip
        assert session.lateness.min() >= 0, clip
