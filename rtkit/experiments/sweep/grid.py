"""The sessions of a sweep: every clip with every chunk duration and pacing, repeated."""

from __future__ import annotations

import hashlib
import inspect
import json
import os
import pickle
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType
from typing import Any

from rtkit.audio import SUFFIXES, AudioError, Clip, open_clip
from rtkit.boundary.text import told, unknown
from rtkit.boundary.values import check_numbers
from rtkit.experiments.simulate import Models, simulate
from rtkit.pacing import Plan
from rtkit.recording import load_session
from rtkit.sending.connect import fitted, way_to
from rtkit.sending.options import Options
from rtkit.sending.stream import check_sides, stream
from rtkit.services.service import Service
from rtkit.session import Session

__all__ = ["Cell", "make_grid", "open_clips"]

GREETING = 3.0  # seconds that a session is open before and after its audio, about
# What the grid gives each session itself.
ITS_OWN = ("record", "on_event", "connection", "clip", "pacing", "chunk", "service")


ALONE: Mapping[str, Service | None] = {"": None}


@dataclass(frozen=True)
class Cell:
    """One session of the grid; all that a worker needs to run it.

    Attributes
    ----------
    path : Path
        The file that proves that it was done.
    how : Options or Models
        How it is run, or simulated.
    name : str
        What its service is called, where several are compared.
    home : int
        The process that asked for it.
    """

    clip: Clip
    plan: Plan
    repeat: int
    path: Path
    how: Options | Models
    service: Service | None
    home: int
    name: str = ""

    @property
    def failure(self) -> Path:
        """The facts of a session that failed: no ``.jsonl``, or it would pass for a whole one."""
        return self.path.with_suffix(".failed")

    @property
    def done(self) -> bool:
        """Whether its file exists and is complete; a truncated or damaged one does not count."""
        try:
            session: Session = load_session(self.path)
        except (OSError, ValueError):
            return False
        return session.complete

    @property
    def seconds(self) -> float:
        """About how long its session will be open."""
        work = 0.0 if callable(self.how.work) else self.how.work
        idle = work / self.plan.chunk if self.plan.pacing == "fixed_sleep" else 0.0
        return self.clip.seconds * (1 + idle) + GREETING


def make_grid(
    clips: Sequence[Clip],
    chunks: Sequence[float],
    pacings: Sequence[str],
    *,
    repeats: int = 1,
    services: Mapping[str, Service | None] = ALONE,
    folder: Path,
    simulated: bool = False,
    options: Mapping[str, Any] | None = None,
) -> list[Cell]:
    """The sessions asked for, each once; what cannot be is refused here, before the first."""
    options = options or {}
    known = set(inspect.signature(simulate if simulated else stream).parameters).difference(ITS_OWN)
    for name in options:
        if name not in known:
            raise TypeError(unknown("sweep parameter", name, sorted(known)))
    check_numbers(unit="sessions of each", repeats=repeats)
    if repeats < 1:
        raise ValueError(f"repeats={repeats} leaves nothing to run; give 1 or more")
    if simulated and services != ALONE:
        raise ValueError(
            "simulated=True has its own service; leave out service, and give delay=..."
        )
    folder = folder.absolute()  # a worker may have another working directory
    cells: dict[Path, Cell] = {}
    for clip, (called, service) in product(clips, services.items()):
        check_sides(clip, service)
        content = _content(clip)
        clip = fitted(clip, service)
        described = {} if service is None else service.describe(clip.reference)
        for chunk, pacing, repeat in product(chunks, pacings, range(repeats)):
            own = dict(options)
            if pacing != "wall_clock":
                own.pop("catch_up", None)
            if simulated:
                own["seed"] = own.get("seed", 0) + repeat
            when = {name: own[name] for name in ("phase", "catch_up") if name in own}
            rest = {name: own[name] for name in own if name not in when}
            how = Models(**rest) if simulated else Options(**rest)
            # How the instrument was calibrated says nothing of how the session was run.
            asked = {name: own[name] for name in own if name != "calibration"}
            asked["service"] = "simulated" if simulated else described
            name = _name(clip, content, chunk, pacing, repeat, asked)
            path = folder / f"{name}.jsonl"
            if path in cells and cells[path].name != called:
                raise ValueError(
                    f"services {cells[path].name!r} and {called!r} are the same; name it once"
                )
            limits = way_to(service, clip).dialect.limits
            plan = Plan.of(clip, chunk=chunk, pacing=pacing, limits=limits, **when)
            cells[path] = Cell(clip, plan, repeat, path, how, service, os.getpid(), called)
    if not cells:
        raise ValueError("the grid is empty: give at least one clip, one chunk and one pacing")
    return list(cells.values())


def open_clips(given: Clip | str | Path | Iterable[Clip | str | Path]) -> list[Clip]:
    """Clips as they are, the one of a file, and those of a folder's recordings."""
    several = [given] if isinstance(given, Clip | str | Path) else given
    return [clip for one in several for clip in _opened(one)]


def _opened(given: Clip | str | Path) -> list[Clip]:
    """A clip, or the one of a file, or those of a folder's recordings."""
    if isinstance(given, Clip):
        return [given]
    path = Path(given)
    if not path.is_dir():
        return [open_clip(path)]
    files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
    clips = [open_clip(file) for file in files if not file.name.startswith(".")]
    if not clips:
        raise AudioError(
            f"The folder {path} contains no recording; give another one, or add files that end in"
            f" {', '.join(SUFFIXES)}"
        )
    return clips


def _content(clip: Clip) -> str:
    """What the clip holds, wherever its file lies: the recording and what is said in it."""
    digest = hashlib.sha256(repr((clip.first, clip.samples, clip.rate)).encode())
    if clip.path.is_file():
        with clip.path.open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    if clip.reference is not None:
        digest.update(json.dumps(clip.reference.to_json(), sort_keys=True).encode())
    return digest.hexdigest()


def _name(
    clip: Clip, content: str, chunk: float, pacing: str, repeat: int, asked: Mapping[str, Any]
) -> str:
    """A file's name, for people, and a hash of all that makes this session this one."""
    everything = [content, chunk, pacing, repeat, asked]
    text = json.dumps(everything, sort_keys=True, default=_identity)
    digest = hashlib.sha256(text.encode()).hexdigest()[:10]
    return f"{clip.stem}-{pacing}-{chunk * 1000:g}ms-{repeat}-{digest}"


def _identity(thing: Any) -> Any:
    """A stable identity of a function or another value, the same in later runs."""
    if isinstance(thing, FunctionType):
        code, known = thing.__code__, thing.__globals__
        used = {name: known[name] for name in code.co_names if _is_plain(known.get(name))}
        cells = [cell.cell_contents for cell in thing.__closure__ or ()]
        closed = [value for value in cells if value is not thing]  # as one that calls itself holds
        defaults = [thing.__defaults__, thing.__kwdefaults__]
        return [thing.__module__, thing.__qualname__, code, used, closed, defaults]
    if isinstance(thing, CodeType):
        return [thing.co_code.hex(), thing.co_consts, thing.co_names]
    if isinstance(thing, frozenset):  # whose order changes from one Python to the next
        return sorted(map(repr, thing))
    if isinstance(thing, MethodType):
        return [thing.__func__, thing.__self__]
    if isinstance(thing, partial):
        return [thing.func, thing.args, thing.keywords]
    if isinstance(thing, BuiltinFunctionType | type):
        return [thing.__module__, thing.__qualname__]
    try:
        return hashlib.sha256(pickle.dumps(thing, protocol=4)).hexdigest()
    except Exception as error:  # whatever its class raises
        raise ValueError(
            f"{told(thing)} cannot be recognized when a sweep resumes; give a function (def "
            f"or lambda) that uses it"
        ) from error


def _is_plain(value: object) -> bool:
    """Whether a global that a function uses is a part of what it does."""
    return isinstance(value, bool | int | float | str | tuple)
