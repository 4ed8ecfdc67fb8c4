"""Members of an archive become files, and whatever goes wrong with one becomes an issue and costs no other."""

from __future__ import annotations

import errno
import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from async_backup.archive.member import BLOCK, CHARACTER, DIRECTORY, FIFO, HARD_LINK, REGULAR, SYMLINK
from async_backup.unpack.attributes import Attributes
from async_backup.unpack.disk import Disk
from async_backup.unpack.rules import Issue, IssueKind, Overwrite, Refused, check, lost_link, safe_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Self

    from async_backup.archive.tar import TarMember
    from async_backup.unpack.rules import UnpackRules

_OUR_UID = os.geteuid()
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}
"""What ends a restore: all that follows would fail alike."""

_NODES = {FIFO: 0o010000, CHARACTER: 0o020000, BLOCK: 0o060000}


class OpenFile(NamedTuple):
    """A large file on its way, under a temporary name until `finish_file` gives it its own."""

    member: TarMember
    temporary: bytes
    path: bytes


class Late(NamedTuple):
    """What has to wait until all else is there: a hard link to `target`, or the metadata of a directory.

    Without a member it is a directory that was made because something had to be put into it; its own member may
    come yet, or never.
    """

    path: bytes
    member: TarMember | None = None
    target: bytes = b""
    is_new: bool = False


class Unpacker:
    """Restores members below the root of `rules`; raises OSError only where the disk is full or read-only.

    `made` is filled with the hashes of the paths that this unpacker restores, if it is given: an archive that was not
    made by us may hold a path twice, so that the later one replaces what the earlier one made; and links in it are
    made in their turn. Several unpackers at one archive know nothing of each other's paths.
    """

    def __init__(self, rules: UnpackRules, made: set[int] | None = None) -> None:
        self._rules = rules
        self._made = made
        self._disk = Disk(rules.root, rules.overwrite, rules.token, self._has_made)
        self._attributes = Attributes(rules)
        self._issues: list[Issue] = []
        self._late: list[Late] = []
        self._files = 0
        self._size = 0

    def _has_made(self, path: bytes) -> bool:
        return self._made is not None and hash(path) in self._made

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.close()

    def replace_leftovers(self) -> None:
        """From now on what stands in the way where nothing should may be replaced: a process died that made it."""
        self._disk.replace_leftovers()

    def take_counts(self) -> tuple[int, int]:
        """Members restored since the last call, with those that wait for the end, and their bytes."""
        counts = self._files, self._size
        self._files = self._size = 0
        return counts

    def take_issues(self) -> list[Issue]:
        """What went wrong since the last call."""
        issues, self._issues = self._issues, []
        return issues + self._attributes.take_issues()

    def take_late(self) -> list[Late]:
        """What has to wait for the end since the last call, in the order of the archive."""
        late, self._late = [Late(path) for path in self._disk.made] + self._late, []
        self._disk.made.clear()
        return late

    def put(self, member: TarMember, data: bytes = b"") -> bool:
        """Restore one member whose payload is `data`; False, and an issue, where that fails."""
        try:
            self._files += self._put(member, data)
            self._size += len(data)
        except (Refused, OSError) as error:  # not `_noting`, which costs a tenth of a small file
            self._note(member.path, error)
            return False
        return True

    def _put(self, member: TarMember, data: bytes) -> bool:
        """Whether it is there now; a hard link may have to wait."""
        path = self._checked(member)
        if member.type == REGULAR:
            self._put_file(member, path, data)
        elif member.type == DIRECTORY:
            is_new = bool(path) and self._disk.make_directory(path)
            self._late.append(Late(path, member, is_new=is_new))
        elif member.type == HARD_LINK:
            return self._put_link(member, path, safe_path(member.link))
        else:
            self._put_special(member, path)
        self._note_made(path)
        return True

    def _put_link(self, member: TarMember, path: bytes, target: bytes) -> bool:
        if not target:
            raise Refused("a hard link to nothing")
        if not self._has_made(target):
            self._late.append(Late(path, member, target))
            return False
        self._disk.link(target, path, member.mtime_ns)
        self._note_made(path)
        return True

    def _note_made(self, path: bytes) -> None:
        if self._made is not None:
            self._made.add(hash(path))

    def _checked(self, member: TarMember) -> bytes:
        path = safe_path(member.path)
        check(member, path, self._rules)
        return path

    def _put_file(self, member: TarMember, path: bytes, data: bytes) -> None:
        descriptor, place = self._disk.create(path, member.mtime_ns)
        try:
            _write_parts(descriptor, member, data)
            owner = self._attributes.owner(member, _OUR_UID, self._disk.gid)
            self._attributes.set_on(descriptor, member, owner, has_acl=self._disk.has_default_acl)
        except OSError:
            self._disk.remove(place)
            raise
        finally:
            os.close(descriptor)
        if place != path:
            self._disk.rename(place, path)

    def _put_special(self, member: TarMember, path: bytes) -> None:
        def make(name: bytes, directory: int) -> None:
            if member.type == SYMLINK:
                os.symlink(member.link, name, dir_fd=directory)
            else:
                os.mknod(name, _NODES[member.type] | member.mode & 0o777, member.rdev, dir_fd=directory)
            self._attributes.set_at(name, directory, member, self._disk.gid)

        self._disk.make(path, member.mtime_ns, make)

    def begin_file(self, member: TarMember) -> OpenFile | None:
        """Make a large file, of its full size and without its payload; None where it may not be restored."""
        opened = None
        with self._noting(member.path):
            path = self._checked(member)
            self._disk.check_free(path, member.mtime_ns)
            descriptor, place = self._disk.create_temporary(path)
            opened = OpenFile(member, place, path)
            with _closing(descriptor):
                os.ftruncate(descriptor, member.sparse.real_size if member.sparse else member.size)
        return opened

    def write(self, file: OpenFile, parts: Iterable[tuple[int, memoryview | bytes]]) -> bool:
        """Write parts of a large file, each at its offset; False, and an issue, where that fails."""
        before = len(self._issues)
        with self._noting(file.member.path), self._disk.opened(file.temporary) as descriptor:
            for offset, data in parts:
                _write_at(descriptor, offset, data)
        return len(self._issues) == before

    def finish_file(self, file: OpenFile) -> None:
        """Give a large file its metadata and its name; it is gone where that fails."""
        with self._noting(file.member.path):
            try:
                with self._disk.opened(file.temporary) as descriptor:
                    self._set_on(descriptor, file.member)
                self._disk.check_free(file.path, file.member.mtime_ns)
            except BaseException:
                self._disk.remove(file.temporary)
                raise
            self._disk.rename(file.temporary, file.path)
            self._note_made(file.path)
            self._files += 1
            self._size += file.member.size

    def keep_part(self, file: OpenFile, size: int) -> None:
        """Finish a large file of which no more than `size` bytes of payload could be had."""
        before = len(self._issues)
        self.finish_file(file)
        if len(self._issues) > before:
            return
        reason = f"only the first {size} of its {file.member.size} bytes could be read, the rest of it is zeros"
        self._issues.append(Issue(file.member.path, IssueKind.INCOMPLETE, reason))

    def discard(self, file: OpenFile) -> None:
        """Remove a large file that will not be finished."""
        with self._noting(file.member.path):
            self._disk.remove(file.temporary)

    def finish(self, late: Late) -> None:
        """Do what had to wait; of several ones in the order that `unpack.late` keeps. Raises OSError without room."""
        with self._noting(late.path):
            if late.target and late.member:
                self._disk.link(late.target, late.path, late.member.mtime_ns)
                self._files += 1
            elif late.member is None:
                os.fchmod(self._disk.directory(late.path), 0o777 & ~self._rules.umask)
            elif late.is_new or self._rules.overwrite is not Overwrite.NEVER:
                self._set_on(self._disk.directory(late.path), late.member)

    def lose_link(self, late: Late) -> None:
        """Deal with a hard link whose file this restore has not put there.

        With if-newer it may have been kept, from a restore that did not come to its end: then it has the very time that
        the link has in the archive, and the link is made. Otherwise the link is lost.
        """
        with self._noting(late.path):
            if late.member is None or not self._is_kept(late.target, late.path, late.member.mtime_ns):
                raise lost_link(late.target)
            self._disk.link(late.target, late.path, late.member.mtime_ns)
            self._files += 1

    def _is_kept(self, target: bytes, path: bytes, mtime_ns: int) -> bool:
        if self._rules.overwrite is not Overwrite.IF_NEWER:
            return False
        return self._disk.are_one(target, path) or self._disk.is_as_old(target, mtime_ns)

    def _set_on(self, descriptor: int, member: TarMember) -> None:
        status = os.fstat(descriptor)
        owner = self._attributes.owner(member, status.st_uid, status.st_gid)
        self._attributes.set_on(descriptor, member, owner, has_acl=not member.acl_default)

    @contextmanager
    def _noting(self, path: bytes) -> Iterator[None]:
        try:
            yield
        except (Refused, OSError) as error:
            self._note(path, error)

    def _note(self, path: bytes, error: Refused | OSError) -> None:
        if isinstance(error, Refused):
            self._issues.append(Issue(path, error.kind, str(error)))
        elif error.errno in NO_ROOM:
            raise error
        else:
            self._issues.append(Issue(path, IssueKind.FAILED, error.strerror or str(error)))


@contextmanager
def _closing(descriptor: int) -> Iterator[None]:
    try:
        yield
    finally:
        os.close(descriptor)


def _write_parts(descriptor: int, member: TarMember, data: bytes) -> None:
    if member.sparse is None:
        if os.write(descriptor, data) < len(data):
            _write_at(descriptor, 0, data)
        return
    os.ftruncate(descriptor, member.sparse.real_size)
    position = 0
    for offset, length in member.sparse.extents:
        _write_at(descriptor, offset, data[position : position + length])
        position += length


def _write_at(descriptor: int, offset: int, data: memoryview | bytes) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(descriptor, view, offset)
        offset, view = offset + written, view[written:]
