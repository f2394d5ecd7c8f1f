"""Recordings: opening them, reading raw samples, levels, and detecting what is not audio."""

from rtkit.audio.clip import AudioError, Clip, Header, check_clip, silence
from rtkit.audio.file_types import Kind, is_wav, kind_of
from rtkit.audio.levels import Level, Meter
from rtkit.audio.opening import SUFFIXES, bundled, open_clip
from rtkit.audio.raw import open_raw
from rtkit.audio.resampled import Resampled, resample
from rtkit.audio.sample_format import Coding, coding_of

__all__ = [
    "SUFFIXES",
    "AudioError",
    "Clip",
    "Coding",
    "Header",
    "Kind",
    "Level",
    "Meter",
    "Resampled",
    "bundled",
    "check_clip",
    "coding_of",
    "is_wav",
    "kind_of",
    "open_clip",
    "open_raw",
    "resample",
    "silence",
]
