"""rtkit measures streaming speech-to-text and separates the client's latency from the service's.

::

    clip = rtkit.open_clip("data/library_call.wav", seconds=20)
    sessions = await rtkit.compare(clip, work=0.005)
    print(rtkit.summarize(sessions))

Each name is loaded from its module when it is first used, so that ``import rtkit`` is light:
matplotlib, ipywidgets and websockets come with the first plot, panel and session.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
