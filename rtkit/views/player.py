"""Hear a clip where its sessions are seen: a cursor on lateness, words that light up as they came.

The sound is in the page, and so is the little script that moves the cursor: the same player works
in JupyterLab, under Voila and in an exported page, without a kernel and without a network.
"""

from __future__ import annotations

import base64
import html
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import soundfile

from rtkit.analysis.latency import heard_words
from rtkit.analysis.naming import Sessions, named
from rtkit.audio import Clip
from rtkit.markup import asset
from rtkit.session import Session
from rtkit.views.colors import looks_for
from rtkit.views.trace import LEFT, RIGHT, WIDTH, round_marks, trace_svg

__all__ = ["Player", "play"]

MIN_RATE, MAX_RATE = 8000, 96000  # what every browser plays

MOST = 4_800_000  # samples, five minutes at 16000 Hz: as speech some 7 MB in the page, at most 13
WAVE, LANE, MARKS = 44, 14, 24  # heights of the sound's picture, a session's words, the axis
LEGEND = 26  # of the trace, which the cursor leaves free
SILENCE = 60.0  # seconds after the clip, or as much as it lasts: what comes later is not waited for
PEAKS = 500  # of the sound's picture


@dataclass(frozen=True, slots=True, repr=False)
class Player:
    """Made by `rtkit.play`: the last line of a cell shows it; `html` is all of it, as a string."""

    html: str
    title: str

    def _repr_html_(self) -> str:
        return self.html

    def __repr__(self) -> str:
        return f"<Player {self.title}; a notebook shows it>"


@dataclass(frozen=True, slots=True)
class _Word:
    """In seconds of the clip; `seen` is when the answer came, as if the clip were live."""

    text: str
    said: float
    end: float
    seen: float


def play(clip: Clip, sessions: Sessions = (), *, rate: int | None = None) -> Player:
    """Hear a clip, with a cursor on its sessions' lateness and words that light up.

    A word is faint until it is spoken, outlined until its answer came, and plain from then on: how
    long it stays outlined is its latency.

    Parameters
    ----------
    clip : Clip
        What to hear: a whole recording or an excerpt. The sound is kept in the page, some
        25 KB a second of speech at 16000 Hz; five minutes at that rate are the most it takes.
    sessions : Session, or a list of them, or a mapping of names to them, optional
        Sessions of the same recording, of this or another excerpt: what lies within the clip is
        shown. Without any, the words are the reference's, if there is one.
    rate : int, optional
        Play the clip's samples at this sample rate instead of their own: what the service hears of
        a client that names a wrong one.

    Returns
    -------
    Player

    Raises
    ------
    TypeError
        If a session is given in the clip's place: it holds no sound.
    ValueError
        If the clip is too long, `rate` is none that the service takes, or a session is not of this
        recording or of another part of it.
    AudioError
        If the recording cannot be read.
    """
    if isinstance(clip, Session):
        raise TypeError("a session keeps no sound; give its clip first: rtkit.play(clip, session)")
    if clip.samples > MOST:
        raise ValueError(
            f"{clip.name}: {clip.seconds:.0f} s at {clip.rate} Hz are too much sound for a "
            f"page, which takes {MOST // clip.rate} s; open an excerpt: "
            "rtkit.open_clip(PATH, start=0, seconds=60)"
        )
    if rate is not None and not MIN_RATE <= rate <= MAX_RATE:
        raise ValueError(
            f"rate={rate} is no sample rate to pass the sound off as; "
            f"give {MIN_RATE} to {MAX_RATE} Hz"
        )
    by_name = named(sessions)
    offsets = {name: _offset(clip, name, session) for name, session in by_name.items()}
    rows = {name: list(_heard(clip, one, offsets[name])) for name, one in by_name.items()}
    last = max([clip.seconds, *(word.seen for row in rows.values() for word in row)])
    seconds = min(last, clip.seconds + max(clip.seconds, SILENCE))
    if not rows and clip.reference is not None:
        rows = {"": [_Word(w.text, w.start, w.end, w.start) for w in clip.reference.words]}
    sound, rate = _sound(clip), rate or clip.rate
    title = f"{clip.name}, {clip.seconds:.1f} s{_wrongly(clip.rate, rate)}"
    lines = {name: _line(clip, one, offsets[name]) for name, one in by_name.items()}
    pacings = [session.settings.pacing for session in by_name.values()]
    pictures = trace_svg(lines, seconds=seconds, pacings=pacings) if lines else ""
    pictures += _score(sound, rows, pacings, seconds=seconds, rate=clip.rate)
    silence = np.zeros(math.ceil((seconds - clip.seconds) * clip.rate), dtype=np.int16)
    style = asset("views/player.css")
    return Player(
        f'<div class="rt-playback" data-speed="{rate / clip.rate!r}" data-left="{LEFT / WIDTH!r}" '
        f'data-across="{(WIDTH - LEFT - RIGHT) / WIDTH / seconds!r}"><style>{style}</style>'
        f'<div class="rt-heard"><div>{html.escape(title)}</div>'
        f"{_audio(np.concatenate([sound, silence]), rate, title=title)}"
        f'<div class="rt-pictures" onclick="{_handler()}">{pictures}'
        f'<div class="rt-cursor" style="left: {LEFT / WIDTH:.3%}; '
        f'top: {LEGEND if lines else 0}px"></div></div></div>'
        f'<div class="rt-read">{"".join(_text(*row) for row in rows.items())}</div></div>',
        title,
    )


def _offset(clip: Clip, name: str, session: Session) -> float:
    """Where in the clip the session's audio begins, in seconds."""
    settings = session.settings
    rate = settings.resampled_from or settings.rate
    if (settings.recording, rate) != (clip.name, clip.rate):
        raise ValueError(
            f"{name} is a session of {settings.recording} at {rate} Hz, not of "
            f"{clip.name} at {clip.rate} Hz; open the clip that it was streamed from"
        )
    first, start = settings.first / settings.rate, clip.first / clip.rate
    if first >= start + clip.seconds or start >= first + settings.seconds:
        raise ValueError(
            f"{name} is a session of another part of {clip.name}: "
            f"{settings.seconds:.1f} s from {first:.1f} s on; open that part"
        )
    return first - start


def _heard(clip: Clip, session: Session, offset: float) -> Iterator[_Word]:
    """What was heard of the words that are spoken within the clip."""
    for heard in heard_words(session):
        said = heard.start + offset  # NaN where nobody knows, and then not shown
        if 0 <= said < clip.seconds:
            yield _Word(heard.word.text, said, heard.end + offset, heard.received + offset)


def _line(clip: Clip, session: Session, offset: float) -> tuple[np.ndarray, np.ndarray]:
    """Audio and lateness of the chunks within the clip."""
    audio = np.array([chunk.stop for chunk in session.chunks]) / session.settings.rate + offset
    within = (audio >= 0) & (audio <= clip.seconds + 1e-9)
    return audio[within], session.lateness[within]


def _sound(clip: Clip) -> np.ndarray:
    """All samples, int16, shape (samples,)."""
    (content,) = clip.chunks(np.array([0, clip.samples]))
    return np.frombuffer(content, dtype="<i2")


def _audio(sound: np.ndarray, rate: int, *, title: str) -> str:
    """The browser's own player, with the sound in it."""
    file = io.BytesIO()
    soundfile.write(file, sound, rate, format="FLAC", subtype="PCM_16")
    content = base64.b64encode(file.getvalue()).decode()
    follow = _handler()
    return (
        f'<audio controls preload="auto" aria-label="{html.escape(title)}" onplay="{follow}" '
        f'onseeking="{follow}" src="data:audio/flac;base64,{content}"></audio>'
    )


def _handler() -> str:
    """What the player's events do, as an attribute."""
    return html.escape(asset("views/player.js"))


def _score(
    sound: np.ndarray,
    rows: Mapping[str, Sequence[_Word]],
    pacings: Sequence[str],
    *,
    seconds: float,
    rate: int,
) -> str:
    """The sound, and below it a row a session: each word as a stroke from its end to its answer."""
    answered = rows if pacings else {}  # or else they are the reference's
    scale = (WIDTH - LEFT - RIGHT) / seconds
    bottom = WAVE + LANE * len(answered)
    parts = [_outline(sound, len(sound) / rate * scale)]
    for lane, (row, look) in enumerate(zip(answered.values(), looks_for(pacings), strict=True)):
        y = WAVE + LANE * (lane + 0.6)
        for word in row:
            end, seen = (LEFT + min(at, seconds) * scale for at in (word.end, word.seen))
            parts.append(
                f'<line x1="{end:.1f}" x2="{seen:.1f}" y1="{y:.1f}" y2="{y:.1f}" '
                f'stroke="{look.color}" stroke-width="2"/>'
            )
            if word.seen <= seconds:
                parts.append(f'<circle cx="{seen:.1f}" cy="{y:.1f}" r="2.5" fill="{look.color}"/>')
    for second in round_marks(seconds):
        parts.append(
            f'<text x="{LEFT + second * scale:.1f}" y="{bottom + 16}" text-anchor="middle">'
            f"{second:g}{' s' if second == 0 else ''}</text>"
        )
    wait = "; below it each word, from its end to its answer" if answered else ""
    return (
        f'<svg viewBox="0 0 {WIDTH} {bottom + MARKS}" role="img" aria-label="The sound{wait}" '
        'style="width: 100%; font: 12px sans-serif; fill: currentColor">'
        f"{''.join(parts)}</svg>"
    )


def _outline(sound: np.ndarray, width: float) -> str:
    """The highest and lowest sample of each of some hundred stretches."""
    stretches = np.array_split(sound / 32768, min(PEAKS, len(sound)))
    high = np.array([stretch.max() for stretch in stretches])
    low = np.array([stretch.min() for stretch in stretches])
    size = WAVE / 2 / max(0.05, high.max(), -low.min())
    across = LEFT + np.linspace(0, width, len(stretches))
    points = [
        *zip(across, WAVE / 2 - high * size, strict=True),
        *zip(across[::-1], WAVE / 2 - low[::-1] * size, strict=True),
    ]
    placed = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polygon fill="currentColor" fill-opacity="0.45" points="{placed}"/>'


def _text(name: str, row: Sequence[_Word]) -> str:
    """A session's words, or the reference's, each with its instants for the script."""
    label = f"<b>{html.escape(name.replace('_', ' '))}:</b> " if name else ""
    words = " ".join(
        f'<span data-said="{word.said:.3f}" data-seen="{word.seen:.3f}">'
        f"{html.escape(word.text)}</span>"
        for word in row
    )
    return f'<div class="rt-words">{label}{words}</div>' if row else ""


def _wrongly(rate: int, heard_at: int) -> str:
    """What a wrong sample rate does to the sound."""
    if rate == heard_at:
        return ""
    tones, speed = 12 * math.log2(heard_at / rate), heard_at / rate
    return (
        f": {rate} Hz heard as {heard_at} Hz, {speed:.3g} times as fast and "
        f"{abs(tones):.3g} semitones {'higher' if tones > 0 else 'lower'}"
    )
