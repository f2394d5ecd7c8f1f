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
    from rtkit.audio import AudioError, Clip, bundled, open_clip
    from rtkit.clock import run
    from rtkit.loopback.process import Loopback
    from rtkit.protocol import AssemblyAI, explain
    from rtkit.reference import Reference, ReferenceError
    from rtkit.session import Session, load_session
    from rtkit.streaming import StreamError, stream

_MODULES = {
    "audio": ("AudioError", "Clip", "bundled", "open_clip"),
    "clock": ("run",),
    "loopback.process": ("Loopback",),
    "protocol": ("AssemblyAI", "explain"),
    "reference": ("Reference", "ReferenceError"),
    "session": ("Session", "load_session"),
    "streaming": ("StreamError", "stream"),
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
