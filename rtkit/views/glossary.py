"""The words that rtkit uses, and what they mean: for reports, and for documents that quote them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GLOSSARY"]

GLOSSARY: Mapping[str, str] = {
    "due": "when a chunk should be sent: when its last sample would have been spoken",
    "sent": "when a chunk was handed to the connection; its bytes leave about 0.1 ms later",
    "fixed sleep": "the naive pacing: a fixed delay after each chunk",
    "wall clock": "the other pacing: an absolute schedule, so that one late chunk delays no other",
    "lateness": "when a chunk was sent, minus when it was due; the sender's own",
    "drift": "the trend of lateness, in ms per second of audio",
    "jitter": "the spread of lateness once the trend is removed",
    "latency": "from the end of a word or turn to its result: what a person waits",
    "chunk wait": "until the chunk that holds the end is due",
    "endpoint wait": "for the silence that tells the service that the turn is over",
    "queue wait": "behind a burst from the sender, which the service cannot process at once",
    "service time": "from the chunk that decided to the result: the service and the network",
    "stall": "a period in which the sender's event loop was busy with something else",
}
