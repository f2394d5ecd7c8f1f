"""What AssemblyAI does about the mistakes that `rtkit.diagnose` names, as far as is known."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.service import Habit

__all__ = ["HABITS"]

RECKONS = (
    "It reckons by the rate that is stated: words come out wrong, and chunks that count as too "
    "short or too long close the session (3007)."
)
HABITS: Mapping[str, Habit] = {
    "wrong sample rate": Habit(RECKONS),
    "stereo": Habit("By its guide, it uses one channel at best and refuses at worst."),
    "shifted times": Habit("Nothing: it counts times from the first audio that it received."),
    "chunk out of bounds": Habit(
        "It closes the session (3007), up to a second later; a short message between others, or at "
        "the end, is let pass."
    ),
    "unpaced": Habit(
        "It queues a short file and answers late; it closes the session (3007) when about 5 "
        "minutes wait."
    ),
    "naive drift": Habit("Nothing: it waits, and its answers come as late as the audio."),
    "no Terminate": Habit(
        "It drops what is open; where the connection stays, it bills until its time-out, up to 3 "
        "hours.",
        'Send {"type": "Terminate"} after the last chunk and wait for Termination.',
    ),
    "closed too soon": Habit(
        "It takes 0.5 to 1.2 s from Terminate to Termination, and says nothing to a closed "
        "connection."
    ),
    "turn never ended": Habit(
        "Not documented: it ends every turn that it began, at Terminate at the latest."
    ),
    "Bearer prefix": Habit(
        'It accepts the connection and then closes it (1008, "Invalid API key").',
        "Send the key alone as Authorization; rtkit.AssemblyAI does.",
    ),
    "counted twice": Habit(
        "With format_turns some models send two finals a turn, others one.",
        "Keep turns by turn_order and let a later message replace an earlier one; session.turns "
        "does.",
    ),
}
