"""Mistakes in the audio itself: bytes that are not samples, and audio that is too quiet."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import numpy as np

from rtkit.analysis.checks.findings import Mistake
from rtkit.audio import Clip, Header, Level, coding_of, is_wav, kind_of
from rtkit.audio.levels import decibels
from rtkit.audio.sample_format import MOST
from rtkit.boundary.text import counted

__all__ = ["SILENT", "in_clip", "inaudible", "misread", "unheeded", "wav_header"]

SILENT = -80.0  # dBFS of the loudest second in all; below it nothing was recorded
QUIET = -50.0  # dBFS, as `Level.loud` has it
QUIET_TEST = -66.0  # dBFS, of what is no speech
PEAKY = 8.0  # dB of the peak above the mean; speech has more
APART = 50.0  # dB below the loudest channel, from which another counts as silent
CANCELED = 10.0  # dB that a mix lies below what channels that know nothing of each other give
CLIPPED = 0.001  # of all samples
WRONG_SCALE = 8.0  # times full scale; whoever clips does not clip by so much

_NO_WORDS = "Not documented; it probably finds no words."
_MISSED_WORDS = "Not documented; it probably misses words."


def in_clip(clip: Clip) -> Iterator[Mistake]:
    """What a clip shows before it is sent."""
    explained = False
    if clip.header is not None:
        yield from unheeded(clip.header, clip.rate, clip.seconds, "would last")
        explained = (clip.header.bits, clip.header.channels) != (16, 1)
    if clip.coding == "bytes" or (clip.channels == 1 and clip.coding.endswith("PCM_16")):
        with closing(clip.chunks(np.array([0, min(clip.samples, MOST // 2)]))) as audio:
            data = next(audio)
        if is_wav(data):
            yield wav_header()
        elif (kind := kind_of(data)) is not None:
            yield misread(kind.name, f"it begins {kind.shown_by}")
            return
        elif not explained and (coding := coding_of(data)) is not None:
            yield misread(
                coding.name,
                f"neighboring samples differ by {coding.as_sent:.2f} of their power, and by "
                f"{coding.roughness:.2f} if read that way; white noise by 2",
            )
            return
    if not explained:
        yield from inaudible(clip.levels(), clip.channel)


def unheeded(header: Header, rate: int, seconds: float, lasts: str) -> Iterator[Mistake]:
    """What a file says of itself, against what it was sent as."""
    became = f"{header.seconds:.2f} s of recording {lasts} {seconds:.2f} s for the service"
    if rate != header.rate:
        yield Mistake(
            "wrong sample rate",
            "The stated sample rate is not the file's: to the service, the audio runs "
            f"{rate / header.rate:.2g} times as fast as it was spoken, and all times change "
            f"with it.",
            f"{rate} Hz stated, {header.rate} Hz in the file; {became}",
            "State the file's own sample rate, as rtkit.open_clip does.",
        )
    if header.channels > 1:
        yield Mistake(
            "stereo",
            f"The samples of {header.channels} channels alternate in audio that is sent as "
            f"one channel, so it sounds"
            f" {header.channels} times as slow as it was spoken.",
            f"{header.channels} channels in the file, 1 stated; {became}",
            "Mix down to one channel first, as rtkit.open_clip does, or: ffmpeg -i INPUT -ac 1 "
            "OUTPUT.wav",
        )
    if header.bits != 16:
        yield Mistake(
            "not 16-bit",
            f"Samples of {header.bits} bits are sent as if they had 16, which sounds like noise.",
            f"{header.bits} bits a sample in the file, 16 stated; {became}",
            "Convert to 16 bits first, as rtkit.open_clip does, or: ffmpeg -i INPUT -c:a pcm_s16le "
            "OUTPUT.wav",
            _NO_WORDS,
        )


def wav_header() -> Mistake:
    return Mistake(
        "WAV header",
        "The audio begins with a WAV file's header, which sounds like a click, and shifts "
        "every word.",
        'the first 4 bytes read "RIFF"',
        "Parse the WAV file and send only its samples, as rtkit.open_clip does. If the header "
        "is inside the audio, the file was made from another file's bytes: create it again.",
        "Not documented; it probably reads the header as samples.",
    )


# How bytes that were taken for 16-bit little-endian samples have to be read: the mistake's name,
# what it is, and what to do.
_NOISE = "The bytes look like {}, but are sent as 16-bit samples, which sound like noise."
_MISREAD: Mapping[str, tuple[str, str, str]] = {
    "odd offset": (
        "odd offset",
        "The bytes are read from the middle of a sample: each sample consists of two halves "
        "of others, which sounds like noise.",
        "Skip an even number of bytes. The length of a header is in the file; it is not "
        "always 44 bytes.",
    ),
    "big-endian": (
        "big-endian",
        "The two bytes of each sample are in the wrong order, which sounds like noise.",
        "Swap them: samples.byteswap(), or: ffmpeg -f s16be -ar RATE -i INPUT OUTPUT.wav",
    ),
    "stereo": (
        "stereo",
        "The samples of two channels alternate in audio that is sent as one channel, so it "
        "sounds twice as slow "
        "as it was spoken.",
        "Mix down to one channel first: samples.reshape(-1, 2).mean(axis=1).",
    ),
    **{
        name: ("not 16-bit", _NOISE.format(samples), f"Convert them first: {fix}")
        for name, samples, fix in (
            ("float32", "32-bit floats", "(samples * 32767).astype('<i2')"),
            ("float64", "64-bit floats", "(samples * 32767).astype('<i2')"),
            (
                "big-endian float32",
                "32-bit floats, their bytes the wrong way around",
                "(samples.byteswap() * 32767).astype('<i2')",
            ),
            ("32-bit", "32-bit integers", "(samples >> 16).astype('<i2')"),
            ("24-bit", "24-bit integers", "ffmpeg -f s24le -ar RATE -i INPUT OUTPUT.wav"),
            ("signed 8-bit", "signed 8-bit integers", "ffmpeg -f s8 -ar RATE -i INPUT OUTPUT.wav"),
            ("8-bit", "unsigned 8-bit integers", "ffmpeg -f u8 -ar RATE -i INPUT OUTPUT.wav"),
            ("mu-law", "8-bit mu-law", "ffmpeg -f mulaw -ar RATE -i INPUT OUTPUT.wav"),
            ("A-law", "8-bit A-law", "ffmpeg -f alaw -ar RATE -i INPUT OUTPUT.wav"),
        )
    },
}


def misread(name: str, evidence: str) -> Mistake:
    """Bytes that were sent as 16-bit little-endian samples and are something else.

    `name` is that of a `Kind` or a `Coding` of `rtkit.audio`.
    """
    title, sentence, fix = _MISREAD.get(
        name,
        (
            "not PCM",
            f"The bytes are those of {name}, but are sent as 16-bit samples, which sound like "
            f"noise.",
            "Decode it first: rtkit.open_clip reads WAV, FLAC, OGG and MP3; for other "
            "formats: ffmpeg"
            " -i INPUT -ac 1 OUTPUT.wav",
        ),
    )
    return Mistake(title, sentence, evidence, fix, _NO_WORDS)


def inaudible(levels: Sequence[Level], channel: int | None) -> Iterator[Mistake]:
    """Why the audio is inaudible or hard to recognize; `channel` is the selected one."""
    if not levels:
        return
    sent, channels = levels[0], levels[1:]
    each = ", ".join(f"channel {one.channel} {_dbfs(one.loud)}" for one in channels)
    if invalid := max(level.invalid for level in levels):
        yield Mistake(
            "not a number",
            "Some samples are not a number, or infinite; they are sent as silence.",
            counted(invalid, "sample"),
            "Find their cause, perhaps a division by 0, and write the file again.",
            _NO_WORDS,
        )
    if channel is None and _canceled(sent, channels):
        yield Mistake(
            "channels cancel",
            "The channels are opposite to each other, so their mix is silent.",
            f"mixed down {_dbfs(sent.loud)}; {each}",
            "Use one of them: rtkit.open_clip(path, channel=0).",
            "It receives almost silence, and finds no words.",
        )
    elif decibels(sent.loud) < SILENT:
        best = max(channels, key=lambda one: one.loud, default=sent)
        fix = "Record it again; check the microphone's level and whether it was muted."
        if decibels(best.loud) >= SILENT:
            fix = f"Use another channel: rtkit.open_clip(path, channel={best.channel})."
        yield Mistake(
            "silent",
            "The audio that is sent is silent.",
            f"{_dbfs(sent.loud)}" + (f"; {each}" if each else ""),
            fix,
            "It finds no words; after a while without speech it may close the session.",
        )
    elif _is_quiet(sent):
        yield Mistake(
            "very quiet",
            "Speech is far quieter than usual, and close to the noise of 16-bit audio.",
            f"{_dbfs(sent.loud)} in the loudest second; speech is usually at -30 to -15 dBFS",
            "Record it louder, or amplify it: ffmpeg -i INPUT -af loudnorm OUTPUT.wav",
            _MISSED_WORDS,
        )
    elif channel is None and (silent := _silent_among(channels)):
        best = max(channels, key=lambda one: one.loud)
        less = decibels(best.loud) - decibels(sent.loud)
        yield Mistake(
            "one channel silent" if len(silent) == 1 else "channels silent",
            "A silent channel is mixed with the others, so the audio that is sent is quieter.",
            f"{each}; the mix is {less:.0f} dB quieter than channel {best.channel}",
            f"Use the channel that has sound: rtkit.open_clip(path, channel={best.channel}).",
            "It recognizes the same words, from quieter audio.",
        )
    if (share := max(level.clipped for level in levels)) > CLIPPED:
        yield _clipped(share, max(level.peak for level in levels))


def _clipped(share: float, peak: float) -> Mistake:
    sentence = "The loudest parts are cut off at full scale, which is audible as distortion."
    fix = "Record it at a lower level; if the file contains floats, scale them to below 1 first."
    if peak > WRONG_SCALE:
        sentence = "The file's floats are not scaled to 1, so square waves are sent."
        fix = "Divide the samples by 32768, if they were 16-bit integers, and write the file again."
    return Mistake(
        "clipped",
        sentence,
        f"{share:.1%} of the samples are at full scale, the loudest at {decibels(peak):+.1f} dBFS",
        fix,
        _MISSED_WORDS,
    )


def _is_quiet(sent: Level) -> bool:
    """Whether speech, which has peaks, is too quiet; or a test's tone or noise, which has none."""
    crest = decibels(sent.peak) - decibels(sent.rms)
    return decibels(sent.loud) < (QUIET if crest > PEAKY else QUIET_TEST)


def _canceled(sent: Level, channels: Sequence[Level]) -> bool:
    """Whether the mix is far below what channels give that know nothing of each other."""
    if len(channels) < 2:
        return False
    apart = math.sqrt(sum(one.rms**2 for one in channels)) / len(channels)
    lost = decibels(apart) - decibels(sent.rms)
    return decibels(apart) >= SILENT and lost > CANCELED


def _silent_among(channels: Sequence[Level]) -> list[Level]:
    loudest = max((decibels(one.loud) for one in channels), default=SILENT)
    return [one for one in channels if decibels(one.loud) < max(SILENT, loudest - APART)]


def _dbfs(amplitude: float) -> str:
    return f"{decibels(amplitude):.1f} dBFS"
