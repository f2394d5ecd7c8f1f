"""Files that are written completely or not at all: written aside, then renamed."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import os
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from rtkit.boundary.text import told

try:
    import fcntl
except ImportError:  # not a Unix: no locks, and no open file is renamed
    fcntl = None  # type: ignore[assignment]

__all__ = ["AsideFile", "alone", "make_folder", "replacing"]

LONGEST_PATH = 4000  # bytes; Linux allows 4096
LONGEST = 230  # bytes of a name that gets something before and behind it; 255 are allowed


def make_folder(folder: Path) -> None:
    """Make a folder and those above it; raises OSError, which says so if a file is in its place."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        why = "a file, not a folder; give another path"
        raise NotADirectoryError(errno.ENOTDIR, why, str(folder)) from None


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Where to write a file that replaces `path` when the block succeeds.

    On an error, nothing changes: an older file is kept. Folders are created. A device or a pipe
    cannot be replaced, and is written directly.
    """
    path = Path(path)
    make_folder(path.parent)
    if path.exists() and not path.is_file():
        yield path
        return
    path = path.resolve()  # what a link points to
    aside = path.with_name(f".{uuid.uuid4().hex[:8]}{path.suffix}")
    try:
        yield aside
        _replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def _replace(aside: Path, path: Path) -> None:
    if path.exists():
        shutil.copymode(path, aside)
    aside.replace(path)


class AsideFile:
    """A file that is written aside, and is locked while it is open.

    It takes its name when told to, if nothing lies there. Otherwise an older file stays until it is
    replaced by a whole one; one that is not whole is then kept beside it, as ``NAME-2``, ``NAME-3``
    and so on.

    Attributes
    ----------
    path : Path
        The file's name; from `close` on, the name under which it is kept.

    Raises
    ------
    ValueError
        If the path is a folder's, or another writes to it.
    OSError
        If it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        if "\0" in str(path) or len(os.fsencode(path)) > LONGEST_PATH:
            raise ValueError(f"record={told(path, 60)!r} is not a file name")
        if path.is_dir():
            raise ValueError(
                f"record={str(path)!r} is a folder; give a file name that ends in .jsonl"
            )
        make_folder(path.parent)
        self._aside: Path | None = None
        self._file: TextIO
        self._written = 0  # bytes
        if path.exists() and not path.is_file():  # a device or a pipe, which cannot be replaced
            self.path, self._file = path, _open_at_once(path)
        else:
            self.path = path.resolve()
            self._aside = self.path.with_name(f".{_short(self.path.name)}.part")
            self._file = _open_alone(self._aside, self.path)

    def write(self, text: str) -> None:
        """Write and flush at once, so that nothing is lost if the process is killed."""
        self._written += len(text.encode())
        self._file.write(text)
        self._file.flush()

    def take_name(self) -> None:
        """From here on it is worth a name, unless an older file has it."""
        if self._aside is not None and fcntl is not None and not self.path.exists():
            self._aside.rename(self.path)
            self._aside = None

    def close(self, *, whole: bool, worth: bool = True) -> None:
        """Close it and let others have the name.

        Parameters
        ----------
        whole : bool
            Whether it replaces an older file.
        worth : bool
            Whether it is kept beside an older file that it does not replace.

        Raises
        ------
        OSError
            If it cannot be written to its end, is not there any more, or holds something else.
        """
        changed = fcntl is not None and _size(self._file) not in (None, self._written)
        whole = whole and not changed
        try:
            if fcntl is None:
                self._file.close()
            if self._aside is None:
                if not _is_at(self._file, self.path):
                    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.path)
            elif not self._written or not (whole or worth or not self.path.exists()):
                self._aside.unlink()
            else:
                if not whole and self.path.exists():
                    self.path = _free(self.path)
                _replace(self._aside, self.path)
            if changed:
                raise OSError(errno.EIO, "another program changed it", self.path)
        finally:
            with contextlib.suppress(OSError):  # what could not be written was told before
                self._file.close()


@contextlib.contextmanager
def alone(path: Path, busy: str) -> Iterator[None]:
    """Hold a lock file for the block, on this computer; it is removed afterwards.

    Raises
    ------
    ValueError
        With the words of `busy`, if another one is.
    """
    file = _locked(path, busy)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        file.close()


def _open_at_once(path: Path) -> TextIO:
    """Open a device or a pipe; a pipe without a reader fails at once instead of blocking."""
    flags = os.O_WRONLY | getattr(os, "O_NONBLOCK", 0)
    return os.fdopen(os.open(path, flags), "w", encoding="utf-8")


def _open_alone(aside: Path, path: Path) -> TextIO:
    """Open `aside` and lock it; no other process may have it or `path` open for writing."""
    busy = f"{path} is being written by another session; give another file name"
    while os.fstat((file := _locked(aside, busy)).fileno()).st_size:
        aside.rename(_free(path))  # whoever was killed while writing it left it
        file.close()
    try:
        if path.exists():
            with path.open("a") as older:  # may it be written, and does nobody?
                if not _lock(older):
                    raise ValueError(busy)
    except BaseException:
        aside.unlink()
        file.close()
        raise
    return file


def _locked(path: Path, busy: str) -> TextIO:
    """The file, open and locked; raises ValueError, with the words of `busy`, if another has it."""
    while True:
        file = path.open("a", encoding="utf-8", newline="\n")
        if not _lock(file):
            file.close()
            raise ValueError(busy)
        if _is_at(file, path):  # or the other one was just leaving
            return file
        file.close()


def _lock(file: TextIO) -> bool:
    """Whether no other process has it locked."""
    if fcntl is not None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        except OSError as error:  # a file system that has no locks
            if error.errno not in (errno.ENOLCK, errno.ENOTSUP):
                raise
    return True


def _size(file: TextIO) -> int | None:
    """Of a file in bytes; a device or a pipe has none."""
    state = os.fstat(file.fileno())
    return state.st_size if stat.S_ISREG(state.st_mode) else None


def _is_at(file: TextIO, path: Path) -> bool:
    try:
        return file.closed or os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _free(path: Path) -> Path:
    """The next name beside `path` that nothing has."""
    stem = _short(path.stem)
    names = (path.with_name(f"{stem}-{number}{path.suffix}") for number in itertools.count(2))
    return next(name for name in names if not name.exists())


def _short(name: str) -> str:
    """The name, or as much of it that a few characters more still make a name."""
    encoded = os.fsencode(name)
    if len(encoded) <= LONGEST:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:8]  # two that begin alike stay two
    return encoded[: LONGEST - 9].decode(errors="ignore") + f"-{digest}"
