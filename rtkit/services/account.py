"""A service with an account: its key, model, host, and parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass, field
from typing import Any, ClassVar

from rtkit.boundary.secrets import hidden, reduced
from rtkit.services.endpoint import Address, Endpoint, as_json, only_public
from rtkit.services.keys import find_key
from rtkit.services.service import Dialect, dialect_named

__all__ = ["Account", "Keyed"]


@dataclass(frozen=True)
class Keyed:
    """What all vendors' classes share: a key that is never shown or saved.

    Parameters
    ----------
    key : str, optional
        The API key; by default, the vendor's environment variable. Never shown or saved.
    host : str
        A host name or, for an unencrypted service on this machine, an address:
        ``ws://127.0.0.1:8765``.
    parameters : mapping
        Further session parameters, under the service's own names. Values of parameters that rtkit
        does not know are treated as secrets: they are sent, but never shown or saved.
    """

    NAME: ClassVar[str]
    KEY_VARIABLE: ClassVar[str]
    SESSIONS_PER_MINUTE: ClassVar[int | None] = None

    key: str | None = field(default=None, repr=False)
    _: KW_ONLY
    host: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "host", Address(self.host))
        for name in ("key", "parameters"):  # a traceback may show whatever a frame names
            object.__setattr__(self, name, hidden(getattr(self, name)))

    __reduce__ = reduced

    def find_key(self) -> str:
        """The key given, or the environment's.

        Raises
        ------
        ValueError
            If there is no key, or it is not valid.
        """
        return find_key(self.key, self.KEY_VARIABLE, self.NAME)


@dataclass(frozen=True)
class Account(Keyed):
    """One whose sessions are asked for by a model alone; each says in its own which is usual."""

    HOST: ClassVar[str]

    model: str = field(default="", kw_only=True)

    @property
    def speaks(self) -> str:
        """The name of its dialect."""
        raise NotImplementedError

    async def connect_info(self, rate: int, reference: object = None) -> Endpoint:
        """Where a session with audio of `rate` samples per second connects.

        Raises
        ------
        ValueError
            If there is no key, or `host` is not a websocket address.
        """
        dialect = dialect_named(self.speaks)
        asked = as_json({dialect.model_parameter: self.model, **self.parameters})
        dialect.check(asked)
        base = Address(self.host).base(dialect.path)
        return dialect.endpoint(base, self.find_key(), rate, asked)  # the key comes last

    def describe(self, reference: object = None) -> dict[str, Any]:
        """What a session records of its service; the key is not in it."""
        dialect: Dialect = dialect_named(self.speaks)
        return {
            "name": self.NAME,
            "dialect": self.speaks,
            "usual": {"host": self.HOST},
            "host": Address(self.host).shown,
            "speech_model": self.model,
            "parameters": only_public(dialect.asks, dialect.public)
            | only_public(self.parameters, dialect.public),
        }
