"""rtkit measures streaming speech-to-text, and tells whose latency it was.

::

    clip = rtkit.open_clip("data/library_call.wav", seconds=20)
    sessions = await rtkit.compare(clip, work=0.005)
    print(rtkit.summarise(sessions))

Each name is loaded from its module when it is first used, so that ``import rtkit`` is light:
matplotlib, ipywidgets and websockets come with the first plot, panel and session.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rtkit.accuracy import wer as wer
    from rtkit.audio import AudioError as AudioError
    from rtkit.audio import Clip as Clip
    from rtkit.audio import bundled as bundled
    from rtkit.audio import open_clip as open_clip
    from rtkit.audio import open_raw as open_raw
    from rtkit.audio import silence as silence
    from rtkit.calibration import calibrate as calibrate
    from rtkit.clock import run as run
    from rtkit.comparison import compare as compare
    from rtkit.comparison import summarise as summarise
    from rtkit.concurrency import stream_many as stream_many
    from rtkit.crowd import Crowd as Crowd
    from rtkit.definitions import rescore as rescore
    from rtkit.distributions import plot_distribution as plot_distribution
    from rtkit.distributions import plot_distributions as plot_distributions
    from rtkit.endings import closures as closures
    from rtkit.endings import explain as explain
    from rtkit.faults import validity as validity
    from rtkit.frames import to_frame as to_frame
    from rtkit.latency import drift as drift
    from rtkit.latency import first_word_latency as first_word_latency
    from rtkit.latency import jitter as jitter
    from rtkit.latency import quantiles as quantiles
    from rtkit.latency import senders_share as senders_share
    from rtkit.latency import turn_latency as turn_latency
    from rtkit.latency import word_latency as word_latency
    from rtkit.loopback.process import Loopback as Loopback
    from rtkit.misdeeds import commit as commit
    from rtkit.mistakes import Mistake as Mistake
    from rtkit.mistakes import diagnose as diagnose
    from rtkit.page import report as report
    from rtkit.playback import play as play
    from rtkit.plots import plot_comparison as plot_comparison
    from rtkit.plots import plot_lateness as plot_lateness
    from rtkit.plots import plot_lateness_distribution as plot_lateness_distribution
    from rtkit.plots import plot_rescored as plot_rescored
    from rtkit.plots import plot_timeline as plot_timeline
    from rtkit.plots import plot_turn_latency as plot_turn_latency
    from rtkit.plots import save_figure as save_figure
    from rtkit.pooling import compare_pacings as compare_pacings
    from rtkit.pooling import compare_paired as compare_paired
    from rtkit.pooling import quantile_intervals as quantile_intervals
    from rtkit.pooling import worst_cases as worst_cases
    from rtkit.protocol import AssemblyAI as AssemblyAI
    from rtkit.reference import Reference as Reference
    from rtkit.reference import SidecarError as SidecarError
    from rtkit.session import Session as Session
    from rtkit.session import load_session as load_session
    from rtkit.simulation import simulate as simulate
    from rtkit.streaming import StreamError as StreamError
    from rtkit.streaming import stream as stream
    from rtkit.sweeps import sweep as sweep
    from rtkit.transcripts import save_transcript as save_transcript
    from rtkit.waiting import progress as progress
    from rtkit.widgets import panel as panel
    from rtkit.words import show_partials as show_partials
    from rtkit.words import show_transcript as show_transcript

_MODULES = {
    "accuracy": ("wer",),
    "audio": ("AudioError", "Clip", "bundled", "open_clip", "open_raw", "silence"),
    "calibration": ("calibrate",),
    "clock": ("run",),
    "comparison": ("compare", "summarise"),
    "concurrency": ("stream_many",),
    "crowd": ("Crowd",),
    "definitions": ("rescore",),
    "distributions": ("plot_distribution", "plot_distributions"),
    "latency": (
        "drift",
        "first_word_latency",
        "jitter",
        "quantiles",
        "senders_share",
        "turn_latency",
        "word_latency",
    ),
    "loopback.process": ("Loopback",),
    "misdeeds": ("commit",),
    "mistakes": ("Mistake", "diagnose"),
    "page": ("report",),
    "playback": ("play",),
    "plots": (
        "plot_comparison",
        "plot_lateness",
        "plot_lateness_distribution",
        "plot_rescored",
        "plot_timeline",
        "plot_turn_latency",
        "save_figure",
    ),
    "pooling": ("compare_paired", "compare_pacings", "quantile_intervals", "worst_cases"),
    "protocol": ("AssemblyAI",),
    "reference": ("Reference", "SidecarError"),
    "session": ("Session", "load_session"),
    "simulation": ("simulate",),
    "streaming": ("StreamError", "stream"),
    "endings": ("closures", "explain"),
    "faults": ("validity",),
    "transcripts": ("save_transcript",),
    "words": ("show_partials", "show_transcript"),
    "frames": ("to_frame",),
    "sweeps": ("sweep",),
    "waiting": ("progress",),
    "widgets": ("panel",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}

__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"rtkit has no {name!r}; it has {', '.join(sorted(_HOMES))}")
    value = getattr(importlib.import_module(f"rtkit.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
