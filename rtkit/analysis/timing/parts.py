"""Which parts the latency of a word or turn has, and which are only known as a sum."""

from __future__ import annotations

import numpy as np

from rtkit.analysis.timing.latency import Latency

__all__ = ["parts_of"]


def parts_of(latency: Latency) -> dict[str, np.ndarray]:
    """The parts of each, in seconds, shape (n,), by name; those of one add up to its latency.

    NaN where a part is none of it: what the service did not tell apart is one part, and what
    followed a receipt takes the place of the whole.
    """
    bounded, confirmed = latency.known == "bounded", ~np.isnan(latency.confirmation)
    none = {
        "chunk_wait": False,
        "endpoint_wait": bounded | (latency.known == "held"),
        "lateness": False,
        "queue_wait": False,
        "confirmation": False,
        "service_time": bounded | confirmed,
        "after_confirmation": bounded,
        "since_sent": ~bounded | confirmed,
        "since_confirmed": ~bounded,
    }
    return {name: np.where(no, np.nan, getattr(latency, name)) for name, no in none.items()}
