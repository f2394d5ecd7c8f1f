"""The glossary, for reports and documents."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FORMULAS", "GLOSSARY"]

GLOSSARY: Mapping[str, str] = {
    "turn": "what one speaker says before a pause; it ends with its last word",
    "due": "when a chunk should be sent: when its last sample would have been spoken",
    "sent": "when a chunk was handed to the connection; its bytes leave about 0.1 ms later",
    "fixed sleep": "the naive pacing: a fixed delay after each chunk",
    "wall clock": "pacing by an absolute schedule: a late chunk delays no later one",
    "lateness": "when a chunk was sent minus when it was due; caused by the sender",
    "drift": "the trend of lateness, in ms per second of audio",
    "jitter": "the spread of lateness once the trend is removed",
    "latency": "from the end of a word or turn to its result: how long a person waits",
    "chunk wait": "the time from that end until the chunk that holds it is due",
    "endpoint wait": "the silence that must pass before the service can tell that the turn is over",
    "queue wait": "the time that audio waits behind a burst from the sender, which the service "
    "cannot process at once",
    "service time": "from sending the chunk that decided the result until the result arrives: the "
    "service and the network",
    "confirmation": "the part of service time from sending a chunk until the service's receipt for "
    "it, if the service sends receipts: the network both ways, and the wait until the service read "
    "the chunk",
    "stall": "a period in which the sender's event loop was busy with something else",
}

# With e the end of a word or turn in the audio, r its result's arrival, k the chunk that holds e,
# and d the chunk that decided.
FORMULAS: Mapping[str, str] = {
    "latency": "r − e = chunk wait + endpoint wait + lateness + queue wait + service time, with e "
    "the end of the word or turn in the audio, and r the arrival of its result",
    "chunk wait": "due(k) − e, with k the chunk that holds e",
    "endpoint wait": "due(d) − due(k), with d the chunk that decided; a word has none: d is k",
    "lateness": "sent − due: of each chunk, and of a result's chunk d",
    "queue wait": "how much longer d waited behind the chunks before it than if all had been sent "
    "when due, at the speed at which the service processes audio",
    "service time": "r − sent(d) − queue wait; it includes the network",
    "confirmation": "c − sent(d), with c the arrival of the receipt for d",
    "service time after confirmation": "r − c − queue wait",
    "drift": "the median, over all pairs of chunks, of the difference of their lateness divided "
    "by the difference of their due times (Theil and Sen)",
    "jitter": "|lateness − drift × due − the median of that|, of each chunk",
    "caused by the sender": "the sum of lateness and queue wait, divided by the sum of latency, "
    "over all turns that count",
    "p50, p95, p99": "quantiles of what counts, linearly interpolated",
}
