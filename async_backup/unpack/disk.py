"""Names below one directory: each relative to a descriptor, nothing followed, nothing written in place.

What replaces a file is made beside it and renamed, so that whoever looks sees the old one or the new one.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from zlib import crc32

from async_backup.archive.descent import Descent
from async_backup.unpack.attributes import has_default_acl
from async_backup.unpack.rules import IssueKind, Overwrite, Refused, lost_link

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NAME_LIMIT = 255
UNFINISHED = stat.S_ISVTX | stat.S_IWUSR
"""The mode of a file until it is whole: no other one has it, and the next restore knows what a killed one left."""

_NOT_A_DIRECTORY = {errno.ENOTDIR, errno.ELOOP}
NOTHING_THERE = {errno.ENOENT, *_NOT_A_DIRECTORY}
"""Errors that tell that a path leads to nothing."""

_KINDS = {stat.S_IFDIR: "a directory", stat.S_IFLNK: "a symbolic link", stat.S_IFREG: "a file"}


class Disk:
    """Makes things below `root`. Paths are safe ones, below it; every method raises Refused or OSError.

    `is_ours` says of a path whether what stands there was put there by this restore, and may go.
    """

    def __init__(self, root: bytes, overwrite: Overwrite, token: str, is_ours: Callable[[bytes], bool]) -> None:
        self._descent = Descent(root)
        self._overwrite = overwrite
        self._token = token.encode()
        self._replaces_leftovers = False
        self._is_ours = is_ours
        self.gid = 0
        """The group that new files get in the directory entered last."""
        self.has_default_acl = False
        """Whether they get an ACL from it."""
        self._entered: tuple[bytes, int] | None = None
        self.made: list[bytes] = []
        """Directories that were made, mode 0700, because something had to be put into them."""

    def replace_leftovers(self) -> None:
        """Take temporary files, and what is in the way where nothing should be, for those of a process that died."""
        self._replaces_leftovers = True
        self._entered = None
        if self._overwrite is Overwrite.NEVER:
            self._overwrite = Overwrite.ALWAYS

    def close(self) -> None:
        self._descent.__exit__(None, None, None)

    def above(self, path: bytes) -> int:
        """The descriptor of the directory that holds `path`, made where it is missing; valid until the next call."""
        parent = path.rpartition(b"/")[0]
        if self._entered and self._entered[0] == parent:  # as for most: files of a directory follow one another
            return self._entered[1]
        try:
            return self.directory(parent)
        except FileNotFoundError:
            self._make_all(parent)
        except OSError as error:
            self._clear(parent, error)
        return self.directory(parent)

    def directory(self, path: bytes) -> int:
        """The descriptor of the directory `path`, valid until the next call."""
        self._entered = None
        descriptor = self._descent.enter(path)
        status = os.fstat(descriptor)
        self.gid = status.st_gid if status.st_mode & stat.S_ISGID else os.getegid()
        self.has_default_acl = has_default_acl(descriptor)
        self._entered = path, descriptor
        return descriptor

    def _make_all(self, path: bytes) -> None:
        names = path.split(b"/")
        for depth in range(1, len(names) + 1):
            part = b"/".join(names[:depth])
            try:
                self.directory(part)
            except FileNotFoundError:
                if self.make_directory(part):
                    self.made.append(part)

    def _clear(self, path: bytes, error: OSError) -> None:
        """Make room for the directory `path` where one of its components is something else, if that is allowed."""
        check_above(error, self._overwrite)
        names = path.split(b"/")
        for depth in range(1, len(names) + 1):
            part = b"/".join(names[:depth])
            if self.make_directory(part):
                self.made.append(part)

    def make_directory(self, path: bytes) -> bool:
        """Make a directory that only we may use; False where there is one already.

        What is in its place makes room only if anything may be replaced, whatever its time: what belongs into the
        directory may come before the directory itself, from another process.
        """
        directory, name = self.above(path), name_of(path)
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            status = os.stat(name, dir_fd=directory, follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                return self._replaces_leftovers  # then it may be one that the process made that died
            if self._overwrite is not Overwrite.ALWAYS and not self._is_ours(path):
                raise in_the_way(status) from None
            os.unlink(name, dir_fd=directory)
            os.mkdir(name, 0o700, dir_fd=directory)
            self._entered = None
        return True

    def create(self, path: bytes, mtime_ns: int) -> tuple[int, bytes]:
        """A new, unfinished file, and its path: another than `path` where `rename` has to replace an old one by it."""
        directory = self.above(path)
        try:
            return os.open(name_of(path), _CREATE, UNFINISHED, dir_fd=directory), path
        except FileExistsError:
            self._check_taken(path, directory, mtime_ns)
        return self.create_temporary(path)

    def create_temporary(self, path: bytes) -> tuple[int, bytes]:
        """A new, unfinished file beside `path`, and its path."""
        temporary = self._temporary_path(path)
        if self._replaces_leftovers:
            self.remove(temporary)
        return os.open(name_of(temporary), _CREATE, UNFINISHED, dir_fd=self.above(path)), temporary

    def _temporary_path(self, path: bytes) -> bytes:
        """A path beside `path`, whose name tells what it is and whose."""
        parent, slash, name = path.rpartition(b"/")
        ending = b".restore-%b-%08x" % (self._token, crc32(name))  # long names may begin alike
        return parent + slash + b"." + name[: _NAME_LIMIT - 1 - len(ending)] + ending

    def make(self, path: bytes, mtime_ns: int, action: Callable[[bytes, int], None]) -> None:
        """Have `action` make `name` in `directory`, in place of what may stand there."""
        directory = self.above(path)
        try:
            action(name_of(path), directory)
            return
        except FileExistsError:
            self._check_taken(path, directory, mtime_ns)
        temporary = self._temporary_path(path)
        action(name_of(temporary), directory)
        self.rename(temporary, path)

    def link(self, target: bytes, path: bytes, mtime_ns: int) -> None:
        """Make `path` another name of the file `target`."""
        source = self._place_of(target)
        try:
            if self.are_one(target, path):
                return

            def link(name: bytes, directory: int) -> None:
                os.link(name_of(target), name, src_dir_fd=source, dst_dir_fd=directory, follow_symlinks=False)

            self.make(path, mtime_ns, link)
        finally:
            os.close(source)

    def _place_of(self, file: bytes) -> int:
        """A new descriptor of the directory that a regular file is in."""
        try:
            directory = self.directory(file.rpartition(b"/")[0])
            mode = os.stat(name_of(file), dir_fd=directory, follow_symlinks=False).st_mode
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                raise
            raise lost_link(file) from None
        if not stat.S_ISREG(mode):
            raise Refused("a hard link to what is no regular file")
        return os.dup(directory)

    def are_one(self, one: bytes, other: bytes) -> bool:
        """Whether both paths are names of the same file."""
        first, second = self._status(one), self._status(other)
        return first is not None and second is not None and os.path.samestat(first, second)

    def is_as_old(self, path: bytes, mtime_ns: int) -> bool:
        """Whether a regular file stands there with that very time."""
        status = self._status(path)
        return status is not None and is_file_of(status, mtime_ns)

    def _status(self, path: bytes) -> os.stat_result | None:
        """Of what is there, or None; no directory is made on the way."""
        self._entered = None
        try:
            directory = self._descent.enter(path.rpartition(b"/")[0])
            return os.stat(name_of(path), dir_fd=directory, follow_symlinks=False)
        except OSError as error:
            if error.errno not in NOTHING_THERE:
                raise
            return None

    def rename(self, temporary: bytes, path: bytes) -> None:
        """Give what stands beside `path` that name, in place of what has it now."""
        directory = self.above(path)
        try:
            os.rename(name_of(temporary), name_of(path), src_dir_fd=directory, dst_dir_fd=directory)
        except OSError:
            self.remove(temporary)
            raise

    def remove(self, path: bytes) -> None:
        """Remove a file of ours; one that is gone is fine."""
        with suppress(FileNotFoundError):
            os.unlink(name_of(path), dir_fd=self.above(path))

    @contextmanager
    def opened(self, path: bytes) -> Iterator[int]:
        """A file of ours, opened for writing again."""
        descriptor = os.open(name_of(path), _WRITE, dir_fd=self.above(path))
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def check_free(self, path: bytes, mtime_ns: int) -> None:
        """Raise Refused where something stands at `path` that may not be replaced."""
        with suppress(FileNotFoundError):
            self._check_taken(path, self.above(path), mtime_ns)

    def _check_taken(self, path: bytes, directory: int, mtime_ns: int) -> None:
        status = os.stat(name_of(path), dir_fd=directory, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode) or not self._is_ours(path):
            check_replaceable(status, mtime_ns, self._overwrite)


def is_file_of(status: os.stat_result, mtime_ns: int) -> bool:
    """Whether it is that of a regular file with that very time."""
    return stat.S_ISREG(status.st_mode) and status.st_mtime_ns == mtime_ns


def check_replaceable(status: os.stat_result, mtime_ns: int, overwrite: Overwrite) -> None:
    """Raise Refused where what has that status may not make room for what is of that time."""
    if overwrite is Overwrite.NEVER or stat.S_ISDIR(status.st_mode):
        raise in_the_way(status)
    is_unfinished = stat.S_IMODE(status.st_mode) & ~stat.S_IWUSR == UNFINISHED & ~stat.S_IWUSR
    if overwrite is Overwrite.IF_NEWER and status.st_mtime_ns >= mtime_ns and not is_unfinished:
        raise Refused("one that is not older is there, and was kept", IssueKind.KEPT)


def in_the_way(status: os.stat_result) -> Refused:
    """What is said where that stands in the place of a member."""
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "a special file")
    return Refused(f"{kind} stands in its place", IssueKind.IN_THE_WAY)


def check_above(error: OSError, overwrite: Overwrite) -> None:
    """Raise Refused where `error` says that something else stands where a directory should be, unless it may go.

    Raises the error itself if it says anything else.
    """
    if error.errno not in _NOT_A_DIRECTORY:
        raise error
    if overwrite is not Overwrite.ALWAYS:
        raise Refused("something else stands where one of its directories should be", IssueKind.IN_THE_WAY)


def name_of(path: bytes) -> bytes:
    """The last component of a path."""
    return path.rpartition(b"/")[2]
