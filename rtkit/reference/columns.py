"""Transcripts in columns: STM, CTM and RTTM of the evaluations, TSV and CSV, and TextGrid."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rtkit.reference.services import in_turns
from rtkit.reference.spoken import SidecarError

__all__ = ["COLUMNS", "looks_like", "textgrid_turns"]

Turn = dict[str, Any]

_NUMBER = r"(\d+(?:\.\d*)?|\.\d+)"
_STM = re.compile(rf"(\S+)\s+(\S+)\s+(\S+)\s+{_NUMBER}\s+{_NUMBER}(?:\s+(<[^>]*>))?(?:\s+(.*))?")
_CTM = re.compile(rf"(\S+)\s+(\S+)\s+{_NUMBER}\s+{_NUMBER}\s+(\S+)(?:\s+(?:{_NUMBER}|NA).*)?")
_RTTM = re.compile(
    rf"(SPEAKER|LEXEME|NON-LEX|NON-SPEECH|SEGMENT|SPKR-INFO|NOSCORE)\s+(\S+)\s+(\S+)\s+"
    rf"(?:{_NUMBER}|<NA>)\s+(?:{_NUMBER}|<NA>)\s+(\S+)\s+(\S+)\s+(\S+).*"
)
NOTHING = {"", "<sil>", "sil", "sp", "<eps>", "spn", "<unk>", "@", "<na>"}


def _lines(text: str, form: re.Pattern[str], name: str) -> Iterator[re.Match[str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith((";;", "#")):
            found = form.fullmatch(line.strip())
            if found is None:
                raise SidecarError(f"line {number} is not valid {name}: {line.strip()[:60]!r}")
            yield found


def _of_one(lines: Iterable[tuple[str, Turn]], recording: str) -> list[Turn]:
    """What is told of one recording; a file may tell of many."""
    told = list(lines)
    names = sorted({name for name, _ in told})
    wanted = {name for name in names if recording in (name, Path(name).stem)}
    if len(names) > 1 and not wanted:
        some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise SidecarError(f"it describes {len(names)} recordings ({some}), but not {recording}")
    return [turn for name, turn in told if len(names) == 1 or name in wanted]


def _stm(text: str, recording: str) -> list[Turn]:
    def told() -> Iterator[tuple[str, Turn]]:
        for line in _lines(text, _STM, "STM (file channel speaker start end text)"):
            name, _, speaker, start, end, _, said = line.groups()
            words = _first_choice(said or "")
            if words and words.upper() != "IGNORE_TIME_SEGMENT_IN_SCORING":
                yield name, {"start": float(start), "end": float(end), "text": words,
                             "words": [], "speaker": speaker}  # fmt: skip

    return _of_one(told(), recording)


def _first_choice(said: str) -> str:
    """STM's text with the first of ``{ one / another / @ }``, and without its marks."""
    said = re.sub(r"\{([^/{}]*)/[^{}]*\}", r"\1", said)
    return " ".join(word for word in said.split() if word.lower() not in NOTHING)


def _ctm(text: str, recording: str) -> list[Turn]:
    def told() -> Iterator[tuple[str, Turn]]:
        for line in _lines(text, _CTM, "CTM (file channel start duration word)"):
            name, channel, start, lasts, word = line.groups()[:5]
            if word.lower() not in NOTHING and not re.fullmatch(r"<[^>]*>", word):
                ends = round(float(start) + float(lasts), 6)
                yield name, {"text": word, "start": float(start), "end": ends, "speaker": channel}

    words = _of_one(told(), recording)
    if len({word["speaker"] for word in words}) == 1:
        words = [{name: word[name] for name in ("text", "start", "end")} for word in words]
    return in_turns(words)


def _rttm(text: str, recording: str) -> list[Turn]:
    def told() -> Iterator[tuple[str, Turn]]:
        for line in _lines(text, _RTTM, "RTTM"):
            kind, name, _, start, lasts, word, _, speaker = line.groups()
            if kind in ("SPEAKER", "LEXEME") and start and lasts:
                ends = round(float(start) + float(lasts), 6)
                said = word if kind == "LEXEME" else ""
                yield name, {"start": float(start), "end": ends, "text": said, "speaker": speaker}

    found = _of_one(told(), recording)
    if words := [turn for turn in found if turn["text"]]:
        return in_turns(words)
    return [{**turn, "words": []} for turn in found]


def _table(text: str, recording: str) -> list[Turn]:
    """TSV or CSV with the columns start, end and text; whole numbers are milliseconds."""
    lines = text.splitlines()
    heading = lines[0] if lines else ""
    between = next((sign for sign in "\t;" if sign in heading), ",")
    rows = list(csv.DictReader(lines, delimiter=between))
    names = {name.strip().lower(): name for name in rows[0] if name} if rows else {}
    if not {"start", "end", "text"} <= names.keys():
        raise SidecarError('it has no columns called "start", "end" and "text"')
    times = [str(row[names[name]] or "").strip() for row in rows for name in ("start", "end")]
    scale = 0.001 if all(time.isdigit() for time in times) else 1.0
    try:
        return [
            {"start": float(row[names["start"]]) * scale, "end": float(row[names["end"]]) * scale,
             "text": str(row[names["text"]] or "").strip(), "words": [],
             "speaker": row[names["speaker"]] if "speaker" in names else None}
            for row in rows
        ]  # fmt: skip
    except ValueError as error:
        raise SidecarError(f"its times are not numbers ({error})") from error


def _labels(text: str, recording: str) -> list[Turn]:
    """Audacity's labels: start, end and text in seconds, without a heading."""
    rows = [line.split("\t", 2) for line in text.splitlines() if line.strip()]
    return [
        {"start": float(start), "end": float(end), "text": said.strip(), "words": []}
        for start, end, said in rows
    ]


COLUMNS: Mapping[str, Callable[[str, str], list[Turn]]] = {
    ".stm": _stm,
    ".ctm": _ctm,
    ".rttm": _rttm,
    ".tsv": _table,
    ".csv": _table,
    "labels": _labels,
}


def looks_like(text: str) -> str | None:
    """Which of `COLUMNS` a text is by its looks alone; none where it may as well be spoken."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    lines = [line for line in lines if not line.startswith(";;")]
    if not lines:
        return None
    if re.match(r"start[\t,;]end[\t,;].*\btext\b", lines[0], re.IGNORECASE):
        return ".tsv"
    if all(map(re.compile(r"\d+(\.\d+)?\t\d+(\.\d+)?\t.*").fullmatch, lines)):
        return "labels"
    if all(map(_RTTM.fullmatch, lines)):
        return ".rttm"
    for kind, form in ((".ctm", _CTM), (".stm", _STM)):
        found = [form.fullmatch(line) for line in lines]
        points = [f for f in found if f and ("." in f[3] if kind == ".ctm" else "." in f[4])]
        names = {f[1] for f in found if f}
        # A sentence may have two numbers in it; many lines with points in them are none.
        if len(points) == len(lines) and len(names) <= max(1, len(lines) // 2):
            return kind
    return None


def textgrid_turns(text: str) -> list[Turn]:
    """The words or utterances in a Praat TextGrid: of its word tiers, or else its first others."""
    try:
        from praatio import textgrid
        from praatio.utilities.errors import PraatioException
    except ImportError as error:
        raise ImportError("TextGrid needs praatio: pip install 'rtkit[eval]'") from error
    try:
        with TemporaryDirectory() as folder:
            path = Path(folder) / "a.TextGrid"
            path.write_text(text.rstrip() + "\n", encoding="utf-8")  # or it drops the last word
            grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    except (PraatioException, OSError, ValueError, LookupError) as error:
        raise SidecarError(f"it is not a readable TextGrid ({error})") from error
    tiers = [tier for tier in grid.tiers if isinstance(tier, textgrid.IntervalTier)]
    words = [tier for tier in tiers if re.search(r"\bwords?$", tier.name, re.IGNORECASE)]
    phones = re.compile(r"phon|segment|\bseg\b|mau|syll", re.IGNORECASE)
    others = [tier for tier in tiers if not phones.search(tier.name)]
    found: list[Turn] = []
    for tier in words or others[:1]:
        spoken = [
            {"start": float(one.start), "end": float(one.end), "text": one.label.strip(),
             "speaker": tier.name}
            for one in tier.entries
            if one.label.strip().lower() not in NOTHING
        ]  # fmt: skip
        found += in_turns(spoken) if words else [{**one, "words": []} for one in spoken]
    if not found:
        raise SidecarError(f"it has no words in its tiers ({', '.join(t.name for t in tiers)})")
    return found
