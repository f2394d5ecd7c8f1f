"""OpenAI's Realtime transcription, and vLLM's, without any I/O. Audio is base64 in JSON.

Text is added and never taken back, and no word has a time: only a reference can place words. With
its voice detection OpenAI says up to where it had heard when a turn ended.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rtkit.boundary.text import unknown
from rtkit.services.account import Account
from rtkit.services.endpoint import Endpoint
from rtkit.services.messages import Begin, Finalized, Other, Reply, ServiceError, Turn, Word
from rtkit.services.service import Dialect, Habit, Limits, Reader, Step

__all__ = ["DIALECT", "EMPTY", "PATH", "VARIANTS", "OpenAI"]

HOST = "api.openai.com"
PATH = "/v1/realtime"
MODEL, VLLM_MODEL = "gpt-live-transcribe", "mistralai/Voxtral-Mini-4B-Realtime-2602"
MODELS = {"openai": MODEL, "vllm": VLLM_MODEL}  # by dialect
WITHOUT_VAD = "gpt-realtime-whisper"
ASKS = {"turn_detection": {"type": "server_vad", "silence_duration_ms": 500}}
EMPTY = "input_audio_buffer_commit_empty"  # a commit with nothing to settle
KIND = "conversation.item.input_audio_transcription."
PUBLIC = frozenset(
    (
        *("intent", "model", "type", "rate", "language", "delay", "prompt", "languages"),
        *("transcription", "turn_detection", "noise_reduction", "format", "eagerness"),
    )
)


@dataclass(frozen=True, kw_only=True)
class OpenAI(Account):
    """OpenAI's Realtime transcription, or a vLLM server with the same kind of API.

    Parameters
    ----------
    key : str, optional
        The API key; by default, the environment variable OPENAI_API_KEY. Never shown or saved. A
        vLLM server receives only a key passed here, if any.
    model : str
        ``"gpt-live-transcribe"``, or the model that the vLLM server serves. With
        ``"gpt-realtime-whisper"``, which has no voice detection, turns end only when the session
        does.
    host : str
        ``api.openai.com``. For an unencrypted service on this machine, an address:
        ``ws://127.0.0.1:8000``.
    parameters : mapping
        Further entries of the session's ``audio.input``, such as ``turn_detection`` (by default,
        ``server_vad`` with 0.5 s of silence), ``noise_reduction`` or ``transcription``. vLLM has
        none.
    dialect : {"openai", "vllm"}
    """

    NAME: ClassVar[str] = "OpenAI"
    KEY_VARIABLE: ClassVar[str] = "OPENAI_API_KEY"
    HOST: ClassVar[str] = HOST

    host: str = HOST
    dialect: str = "openai"

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "model", self.model or MODELS.get(self.dialect, ""))

    @property
    def speaks(self) -> str:
        if self.dialect not in MODELS:  # a constructor that refuses shows the key in its frame
            raise ValueError(unknown("dialect", self.dialect, MODELS))
        return "openai" if self.dialect == "openai" else f"openai.{self.dialect}"

    def find_key(self) -> str:
        """The key given, or the environment's, which is for OpenAI alone; vLLM needs none."""
        return "" if self.dialect == "vllm" and not self.key else super().find_key()


def endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    own = {**ASKS, **parameters}
    transcription = {"model": own.pop("model", MODEL), **(own.pop("transcription", None) or {})}
    if str(transcription["model"]).startswith(WITHOUT_VAD):
        own["turn_detection"] = parameters.get("turn_detection")
    audio = {"format": {"type": "audio/pcm", "rate": rate}, "transcription": transcription, **own}
    session = {"type": "transcription", "audio": {"input": audio}}
    update = json.dumps({"type": "session.update", "session": session})
    headers = {"Authorization": f"Bearer {key}"}
    return Endpoint(f"{base}{PATH}?intent=transcription", headers, (update,))


def vllm_endpoint(base: str, key: str, rate: int, parameters: Mapping[str, Any]) -> Endpoint:
    update = json.dumps({"type": "session.update", "model": VLLM_MODEL, **parameters})
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Endpoint(f"{base}{PATH}", headers, (update, COMMIT))


COMMIT = json.dumps({"type": "input_audio_buffer.commit"})
FINAL_COMMIT = json.dumps({"type": "input_audio_buffer.commit", "final": True})


def append(pcm: bytes) -> str:
    """A chunk as a message."""
    audio = base64.b64encode(pcm).decode()
    return f'{{"type": "input_audio_buffer.append", "audio": "{audio}"}}'


class Items(Reader):
    """Reads OpenAI's messages; an item is a turn, numbered as it is first heard of.

    A commit that no end of speech was told before is the client's own: once that is transcribed,
    and nothing else is left, all is settled.
    """

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._orders: dict[str, int] = {}
        self._texts: dict[str, str] = {}
        self._ends: dict[str, float] = {}  # up to where it had heard, by its voice detection
        self._left: set[str] = set()  # committed, and not transcribed
        self._asked = self._begun = False

    def message(self, message: Any) -> Iterator[Reply]:
        kind = str(message["type"])
        item = str(message.get("item_id", ""))
        match kind.removeprefix(KIND):
            case "session.updated":
                self._begun = True
                yield Begin(str(message["session"].get("id", "")))
            case "delta":
                self._texts[item] = self._texts.get(item, "") + str(message["delta"])
                yield self._turn(item, over=False)
            case "completed":
                self._texts[item] = str(message["transcript"])
                yield self._turn(item, over=True)
                yield from self._settle(item)
            case "failed":
                yield Other(kind, str(message["error"].get("message")))
                yield from self._settle(item)
            case "input_audio_buffer.speech_stopped":
                self._ends[item] = float(message["audio_end_ms"]) / 1000
                yield Other(kind)
            case "input_audio_buffer.committed":
                self._left.add(item)
                self._asked = self._asked or item not in self._ends
                self._order(item)
                yield Other(kind)
            case "error":
                error = message["error"]
                if error.get("code") == EMPTY:
                    self._asked = True
                    yield from self._settle("")
                else:
                    # Of what the client did wrong most is forgiven, if the session has begun.
                    ends = not self._begun or error.get("type") != "invalid_request_error"
                    name = error.get("code") or error["type"]
                    yield ServiceError(None, f"{name}: {error['message']}", ends)
            case _:
                yield Other(kind)

    def _settle(self, item: str) -> Iterator[Reply]:
        self._left.discard(item)
        if self._asked and not self._left:
            yield Finalized()

    def _order(self, item: str) -> int:
        return self._orders.setdefault(item, len(self._orders))

    def _turn(self, item: str, over: bool) -> Turn:
        heard = self._ends.get(item) if over else None
        cause = None if heard is None else "silence"
        return _turn(self._order(item), self._texts[item], over, cause, heard)


class Text(Reader):
    """Reads vLLM's messages; all of the session is one turn."""

    def __init__(self, rate: int) -> None:
        super().__init__(rate)
        self._text = ""

    def message(self, message: Any) -> Iterator[Reply]:
        match message["type"]:
            case "session.created":
                yield Begin(str(message["id"]))
            case "transcription.delta":
                self._text += str(message["delta"])
                yield _turn(0, self._text, over=False)
            case "transcription.done":
                yield _turn(0, str(message["text"]), over=True, cause="terminate")
                yield Finalized()
            case "error":
                yield ServiceError(None, f"{message.get('code') or 'error'}: {message['error']}")
            case kind:
                yield Other(str(kind))


def _turn(
    order: int, text: str, over: bool, cause: str | None = None, heard: float | None = None
) -> Turn:
    """Words without times. All but the last will stay, and at the end that, too."""
    texts = text.split()
    words = (Word(one, None, None, 0.0, over or i < len(texts) - 1) for i, one in enumerate(texts))
    return Turn(order, text.strip(), tuple(words), over, formatted=True, cause=cause, heard=heard)


HABITS: Mapping[str, Habit] = {
    "wrong sample rate": Habit("It assumes 24 kHz: words are wrong."),
    "no Terminate": Habit(
        "It discards audio that was not committed, and ends the session after an hour.",
        'Send {"type": "input_audio_buffer.commit"} and wait for the last item to be completed.',
    ),
    "closed too soon": Habit("It discards audio that was not transcribed yet."),
    "counted twice": Habit(
        "Deltas are appended, and the completed transcript contains all of them.",
        "Store items by item_id; they may be completed out of order.",
    ),
}
DIALECT = Dialect(
    vendor=OpenAI,
    path=PATH,
    endpoint=endpoint,
    reader=Items,
    audio=append,
    shutdown=lambda chunks: (Step(COMMIT, Finalized),),
    closes=False,
    default_model=MODEL,
    asks=ASKS,
    public=PUBLIC,
    bearer=True,
    sent_as={"format": {"type": "audio/pcm", "rate": 24000}},
    limits=Limits(
        max_chunk=240.0,
        rates=(24000,),
        resampled=True,
        otherwise="an event of 15 MiB holds no more",
    ),
    habits=HABITS,
)
VARIANTS = {
    "vllm": Dialect(
        path=PATH,
        endpoint=vllm_endpoint,
        reader=Text,
        audio=append,
        shutdown=lambda chunks: (Step(FINAL_COMMIT, Finalized),),
        closes=False,
        default_model=VLLM_MODEL,
        public=PUBLIC,
        bearer=True,
        limits=Limits(rates=(16000,), resampled=True),
    )
}
