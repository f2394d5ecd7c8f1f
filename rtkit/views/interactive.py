"""The interactive timeline: lateness, sound, chunks, words and turns on one time axis.

All of its data is in the page, and so is its script, so it works in JupyterLab, Voila, a saved
notebook and an exported page, without a kernel or a network. Where scripts may not run, it is a
table of the turns.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rtkit.analysis.naming import Sessions, named, said
from rtkit.audio import Clip
from rtkit.boundary.text import counted
from rtkit.boundary.values import check_numbers
from rtkit.markup import Table, asset
from rtkit.reference import Reference
from rtkit.session import Session
from rtkit.views.colors import DASHES, EVERY_PART, looks_for
from rtkit.views.explained import explained
from rtkit.views.sound import check_length, outline, samples_of, sound_url

__all__ = ["SCRIPT", "Timeline", "is_of", "live", "play", "timeline"]

MIN_RATE, MAX_RATE = 8000, 96000  # what every browser plays
SILENCE = 60.0  # seconds after the clip, or as much as it lasts: what comes later is not waited for
ROWS = 100  # of the table

SCRIPT = (
    "(() => {"
    + asset("views/interactive.js")
    + "const box = document.currentScript.previousElementSibling;"
    "show(box, JSON.parse(box.firstElementChild.textContent));})()"
)


@dataclass(frozen=True, slots=True, repr=False)
class Timeline:
    """An interactive timeline, from `rtkit.timeline` or `rtkit.play`; end a cell with it.

    Attributes
    ----------
    data : dict
        Everything that it shows, as JSON-compatible data; see `rtkit.views.explained.explained`.
    """

    data: dict[str, Any]

    @property
    def title(self) -> str:
        return str(self.data["title"])

    @property
    def html(self) -> str:
        """The whole timeline, as a string of HTML."""
        data = json.dumps(self.data, separators=(",", ":")).replace("<", "\\u003c")
        return (
            f"<style>{asset('views/interactive.css')}</style>"
            f'<div class="rt-timeline"><script type="application/json">{data}</script>'
            f"{_table(self.data)._repr_html_()}</div><script>{SCRIPT}</script>"
        )

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Timeline {self.title}; a notebook shows it>"


def timeline(sessions: Sessions, *, clip: Clip | None = None) -> Timeline:
    """Draw sessions on one time axis; click a chunk, a word or a turn to see why it took so long.

    Clicking a word, a turn's bar or a chunk shows the parts of its latency, which chunk decided it,
    and how that is known. Drag to zoom. By keyboard: Tab reaches each row, arrows move within it,
    Enter plays, + and - zoom.

    Parameters
    ----------
    sessions : Session, or a list of them, or a mapping of names to them
    clip : Clip, optional
        The recording, or an excerpt of it, to play: about 3 KB per second. Only the part of each
        session that lies within it is shown.

    Returns
    -------
    Timeline
        To place it among other widgets, use `rtkit.TimelineWidget`.

    Raises
    ------
    ValueError
        If the clip is too long, or a session is of another recording or another part of it.
    AudioError
        If the recording cannot be read.
    """
    by_name = named(sessions)
    if clip is not None:
        return play(clip, by_name)
    parts = {name: explained(session) for name, session in by_name.items()}
    seconds = max((session.settings.seconds for session in by_name.values()), default=1.0)
    title = ", ".join(dict.fromkeys(one.settings.recording for one in by_name.values()))
    return Timeline(_data(title, by_name, parts, seconds=_until(seconds, parts)))


def play(clip: Clip, sessions: Sessions = (), *, rate: int | None = None) -> Timeline:
    """Play a clip, with a moving cursor and highlighted words on the timeline of its sessions.

    A word is faint until it is spoken, outlined until its result arrives, and plain after that. How
    long it stays outlined is its latency.

    Parameters
    ----------
    clip : Clip
        What to play: a whole recording or an excerpt, of at most five minutes at 16000 Hz.
    sessions : Session, or a list of them, or a mapping of names to them, optional
        Sessions of the same recording, or of an excerpt of it: the part within the clip is shown.
        Without sessions, the words of the reference are shown, if there is one.
    rate : int, optional
        Play the samples at this sample rate instead of their own: what the service hears if a
        client declares the wrong rate.

    Returns
    -------
    Timeline

    Raises
    ------
    TypeError
        If a session is passed instead of a clip: a session contains no sound.
    ValueError
        If the clip is too long, the service does not accept `rate`, or a session is of another
        recording or another part of it.
    AudioError
        If the recording cannot be read.
    """
    if isinstance(clip, Session):
        raise TypeError(
            "a session contains no sound; give its clip first: rtkit.play(clip, session)"
        )
    check_length(clip)
    check_numbers(optional=True, rate=rate)
    if rate is not None and not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(
            f"rate={rate} is not a sample rate for playback; give {MIN_RATE} to {MAX_RATE} Hz"
        )
    by_name = named(sessions)
    offsets = {name: _offset(clip, name, session) for name, session in by_name.items()}
    parts = {
        name: _within(clip, explained(session, offset=offsets[name]))
        for name, session in by_name.items()
    }
    seconds = min(_until(clip.seconds, parts), clip.seconds + max(clip.seconds, SILENCE))
    sound, rate = samples_of(clip), rate or clip.rate
    title = f"{clip.name}, {clip.seconds:.1f} s{_wrongly(clip.rate, rate)}"
    data = _data(title, by_name, parts, seconds=seconds)
    if not by_name and clip.reference is not None:
        data["sessions"] = [{**_looks("", "", ""), "chunks": [], "words": _spoken(clip.reference)}]
    speed = rate / clip.rate
    return Timeline(
        {
            **data,
            "audio": sound_url(sound, rate, seconds=seconds / speed),
            "speed": speed,
            "wave": outline(sound, clip.seconds),
        }
    )


def live(
    lines: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    *,
    seconds: float,
    pacings: Sequence[str],
) -> dict[str, Any]:
    """`Timeline.data` of sessions that still run: audio and lateness of some chunks, by name."""
    chunks = {
        name: [
            [round(at, 4), round(at, 4), round(at, 4), round(at + late, 4)]
            for at, late in zip(*line, strict=True)
        ]
        for name, line in lines.items()
    }
    last = max([seconds, *(one[-1][3] for one in chunks.values() if one)])
    return {
        "live": True,  # which chunk it is, and what it holds, is not known yet
        "title": "",
        "seconds": last,
        "parts": {},
        "sessions": [
            {
                **_looks(said(name), pacing, look.color, DASHES[look.linestyle]),
                "chunks": chunks[name],
            }
            for name, pacing, look in zip(chunks, pacings, looks_for(pacings), strict=True)
        ],
    }


def is_of(clip: Clip, session: Session) -> bool:
    """Whether something of the clip was streamed in the session, so that `play` takes both."""
    try:
        _offset(clip, "", session)
    except ValueError:
        return False
    return True


def _data(
    title: str,
    sessions: Mapping[str, Session],
    parts: Mapping[str, Mapping[str, Any]],
    *,
    seconds: float,
) -> dict[str, Any]:
    pacings = [session.settings.pacing for session in sessions.values()]
    return {
        "title": title,
        "seconds": round(seconds, 4),
        "parts": {part.name: [part.title, part.color] for part in EVERY_PART},
        "sessions": [
            {**_looks(said(name), pacing, look.color, DASHES[look.linestyle]), **parts[name]}
            for name, pacing, look in zip(sessions, pacings, looks_for(pacings), strict=True)
        ],
    }


def _looks(name: str, pacing: str, color: str, dash: str = "") -> dict[str, Any]:
    return {"name": name, "paced": pacing != "unpaced", "color": color, "dash": dash}


def _until(seconds: float, parts: Mapping[str, Mapping[str, Any]]) -> float:
    """The last instant at which anything was sent or came, or `seconds` if that is later."""
    last = [seconds]
    for one in parts.values():
        last += [chunk[3] for chunk in one["chunks"] if chunk[0] < seconds]
        last += [item["received"] for kind in ("words", "turns") for item in one[kind]]
    return max(last)


def _offset(clip: Clip, name: str, session: Session) -> float:
    """Where in the clip the session's audio begins, in seconds."""
    settings = session.settings
    rate = settings.resampled_from or settings.rate
    if (settings.recording, rate) != (clip.name, clip.rate):
        raise ValueError(
            f"{name} is a session of {settings.recording} at {rate} Hz, not of "
            f"{clip.name} at {clip.rate} Hz; open the clip that it was streamed from"
        )
    first, start = settings.start, clip.first / clip.rate
    if first >= start + clip.seconds or start >= first + settings.seconds:
        raise ValueError(
            f"{name} is a session of another part of {clip.name}: {settings.seconds:.1f} s "
            f"from {first:.1f} s; open that part"
        )
    return first - start


def _within(clip: Clip, told: Mapping[str, Any]) -> dict[str, Any]:
    """The words and turns that begin within the clip, or whose place is unknown."""
    return {
        **told,
        **{
            kind: [one for one in told[kind] if 0 <= (one["start"] or 0) < clip.seconds]
            for kind in ("words", "turns")
        },
    }


def _spoken(reference: Reference) -> list[dict[str, Any]]:
    """A reference's words, there as soon as they are spoken."""
    return [
        {
            "text": word.text,
            "turn": 0,
            "start": word.start,
            "end": word.end,
            "received": word.start,
            "latency": None,
            "parts": None,
            "how": "",
            "out": "",
        }
        for word in reference.words
    ]


def _table(data: Mapping[str, Any]) -> Table:
    """The turns, for where no script may run."""
    titles = [title for title, _ in data["parts"].values()]
    rows: list[tuple[str, tuple[float | str, ...], str]] = []
    for one in data["sessions"]:
        for number, turn in enumerate(one.get("turns", ()), 1):
            parts = turn["parts"] or {}
            values = (turn["latency"], *(parts.get(name) for name in data["parts"]))
            cells = tuple(math.nan if value is None else value for value in values)
            rows.append((f"{one['name']}, turn {number}: {turn['text']}", cells, ".1f"))
    notes = [
        "All values are in milliseconds. To see the interactive timeline, run the cell "
        "or mark the notebook as trusted."
    ]
    if len(rows) > ROWS:
        notes.append(f"Not shown: {counted(len(rows) - ROWS, 'turn')}.")
    return Table(("latency", *titles), tuple(rows[:ROWS]), tuple(notes), data["title"])


def _wrongly(rate: int, heard_at: int) -> str:
    """What a wrong sample rate does to the sound."""
    if rate == heard_at:
        return ""
    tones, speed = 12 * math.log2(heard_at / rate), heard_at / rate
    return (
        f": {rate} Hz played as {heard_at} Hz, {speed:.3g} times as fast and "
        f"{abs(tones):.3g} semitones {'higher' if tones > 0 else 'lower'}"
    )
