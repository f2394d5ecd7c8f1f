"""The words that rtkit uses, and what they mean: for reports, and for documents that quote them."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["GLOSSARY"]

GLOSSARY: Mapping[str, str] = {
    "due": "when a chunk ought to leave: when its last sample would have been spoken",
    "naive pacing": "a fixed sleep after each chunk; the other way is the wall clock",
    "lateness": "when a chunk left, minus when it was due; the sender's own",
    "drift": "the trend of lateness, in ms per second of audio",
    "jitter": "the spread of lateness once the trend is taken out",
    "latency": "from the end of a word or turn to the answer: what a person waits",
    "chunk wait": "until the chunk that holds the end is due",
    "endpoint wait": "for the silence that tells the service that the turn is over",
    "queue wait": "behind a burst of the sender's, which the service cannot hear at once",
    "service time": "from sending the chunk that decided to the answer: what the service took",
    "stall": "a stretch in which the sender's event loop was busy with something else",
}
