"""How AssemblyAI reacts to the mistakes that `rtkit.diagnose` names, as far as known."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.service import Habit

__all__ = ["HABITS"]

RECKONS = (
    "It trusts the stated rate: words are wrong, and chunks that then seem too short or too "
    "long close the session (3007)."
)
HABITS: Mapping[str, Habit] = {
    "wrong sample rate": Habit(RECKONS),
    "stereo": Habit("According to its guide, it uses one channel or refuses the audio."),
    "shifted times": Habit("Nothing: it counts times from the first audio that it received."),
    "chunk out of bounds": Habit(
        "It closes the session (3007), up to a second later; it accepts a single short "
        "message, or one at the end."
    ),
    "unpaced": Habit(
        "It queues a short file, so results come late; it closes the session (3007) when "
        "about 5 minutes of audio are waiting."
    ),
    "naive drift": Habit("Nothing: it waits, and its results come as late as the audio."),
    "no Terminate": Habit(
        "It discards the open turn. If the connection stays open, it bills until the session "
        "times out, after up to 3 hours.",
        'Send {"type": "Terminate"} after the last chunk and wait for Termination.',
    ),
    "closed too soon": Habit(
        "It takes 0.5 to 1.2 s from Terminate to Termination, and cannot send anything on a "
        "closed connection."
    ),
    "turn never ended": Habit(
        "Not documented; it ends every turn that it began, at the latest on Terminate."
    ),
    "Bearer prefix": Habit(
        'It accepts the connection and then closes it (1008, "Invalid API key").',
        "Send only the key as Authorization, as rtkit.AssemblyAI does.",
    ),
    "counted twice": Habit(
        "With format_turns, some models send two final results per turn, others one.",
        "Store turns by turn_order and let a later message replace an earlier one, as "
        "session.turns does.",
    ),
}
