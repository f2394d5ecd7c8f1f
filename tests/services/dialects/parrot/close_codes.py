"""How it ends sessions."""

from __future__ import annotations

from rtkit.services.close_codes import Closure

ENDINGS = (
    Closure(
        "bad manners",
        "The parrot was offended.",
        "Say please.",
        False,
        (4001,),
        "its keeper",
        "no cracker",
    ),
)
