"""How it ends sessions."""

from __future__ import annotations

from collections.abc import Mapping

from rtkit.services.close_codes import Closure

SQUAWK = Closure("bad manners", "The parrot was offended.", "Say please.", False, (4001,))
BY_WORDS: tuple[tuple[str, Closure], ...] = (("no cracker", SQUAWK),)
BY_CODE: Mapping[int, Closure] = {4001: SQUAWK}
