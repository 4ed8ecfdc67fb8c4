"""The contract of `RemoteStore`, as tests that every store has to pass."""

from __future__ import annotations

import hashlib
import random
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import pytest
from anyio import create_task_group

from async_backup.errors import RemoteError, RemoteExists, RemoteNotFound, RemoteTruncated

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from async_backup.remote.base import RemoteEntry, RemoteReader, RemoteStore

HOSTILE_NAMES = [
    b"a b",
    b"-rf",
    b"--help",
    b"line\nbreak",
    b"ends in a break\n",
    b"\n",
    b"'quoted'",
    b'"double" `date`',
    b"back\\slash\\n",
    b"$(touch owned)",
    b"${HOME} $HOME !!",
    b"semi;colon & | < > * ? [a]",
    b"%s%b%%",
    b"tab\tand\rreturn",
    b"\x1b[31mred\x9b\x07",
    b"not utf-8: \xff\xfe\xc3",
    "Gr\N{LATIN SMALL LETTER U WITH DIAERESIS}\N{LATIN SMALL LETTER SHARP S}e".encode(),
    b"\\0101\\x41",
    b"#comment ~tilde",
    b"n" * 255,
    bytes(range(1, 47)),
    bytes(range(48, 256)),
]


class World(Protocol):
    """What is in the directory under test, seen without the store."""

    def files(self) -> dict[bytes, bytes]:
        """Names and contents; a symbolic link has its target for content."""

    def put(self, name: bytes, content: bytes) -> None:
        """Make a file as somebody else would."""

    def link(self, name: bytes, target: bytes) -> bool:
        """Make a symbolic link; False where the store has none."""

    def mode(self, name: bytes) -> int | None:
        """The permissions of a file; None where the store has none."""


@dataclass(frozen=True)
class Place:
    """A store, and a new empty directory in it."""

    store: RemoteStore
    directory: bytes
    world: World

    def path(self, name: bytes) -> bytes:
        return self.directory + b"/" + name


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


async def put(place: Place, name: bytes, content: bytes) -> None:
    file = await place.store.create(place.path(name))
    await file.write(0, content)
    await file.finish()


@asynccontextmanager
async def reading(place: Place, name: bytes) -> AsyncIterator[RemoteReader]:
    reader = await place.store.open(place.path(name))
    try:
        yield reader
    finally:
        await reader.close()


class RemoteContract:
    """Subclasses give the fixture `place`."""

    pytestmark = pytest.mark.anyio

    async def test_what_was_written_is_there(self, place: Place) -> None:
        await put(place, b"a", b"content")
        assert place.world.files() == {b"a": b"content"}

    @pytest.mark.parametrize("size", [0, 1, 261_120, 261_121, 1_000_000])
    async def test_what_was_written_whole_is_there_and_finished(self, place: Place, size: int) -> None:
        content = random.Random(size).randbytes(size)
        file = await place.store.create(place.path(b"a"))
        await file.write_whole(memoryview(content))
        await file.abandon()  # it is closed already
        assert (await place.store.digest(place.path(b"a"), size)).value == md5(content)
        assert place.world.files() == {b"a": content}

    async def test_an_empty_file_is_a_file(self, place: Place) -> None:
        file = await place.store.create(place.path(b"empty"))
        await file.finish()
        assert (await place.store.digest(place.path(b"empty"), 0)).value == md5(b"")
        assert place.world.files() == {b"empty": b""}

    async def test_only_the_owner_may_read_a_new_file(self, place: Place) -> None:
        await put(place, b"a", b"secret")
        assert place.world.mode(b"a") in {0o600, None}

    async def test_create_refuses_a_name_that_is_taken(self, place: Place) -> None:
        place.world.put(b"a", b"theirs")
        with pytest.raises(RemoteExists, match="exist"):
            await place.store.create(place.path(b"a"))
        assert place.world.files() == {b"a": b"theirs"}

    async def test_create_refuses_a_directory(self, place: Place) -> None:
        await place.store.make_directory(place.path(b"d"))
        with pytest.raises(RemoteExists):
            await place.store.create(place.path(b"d"))
        assert place.world.files() == {}

    async def test_create_never_follows_a_dangling_link(self, place: Place) -> None:
        if not place.world.link(b"a", b"target"):
            pytest.skip("this store has no symbolic links")
        with pytest.raises(RemoteExists):
            await place.store.create(place.path(b"a"))
        assert place.world.files() == {b"a": b"target"}

    async def test_create_in_a_missing_directory_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.create(place.path(b"missing/a"))
        assert place.world.files() == {}

    async def test_a_name_of_256_bytes_is_refused(self, place: Place) -> None:
        with pytest.raises(RemoteError, match=r"name|long"):
            await place.store.create(place.path(b"n" * 256))
        assert place.world.files() == {}

    async def test_parts_arrive_out_of_order_and_at_once(self, place: Place) -> None:
        content = random.Random(1).randbytes(3_000_000)
        starts = list(range(0, len(content), 411_137))
        random.Random(2).shuffle(starts)
        file = await place.store.create(place.path(b"a"))
        async with create_task_group() as tasks:
            for start in starts:
                tasks.start_soon(file.write, start, memoryview(content)[start : start + 411_137])
        await file.finish()
        assert (await place.store.digest(place.path(b"a"), len(content))).value == md5(content)
        assert place.world.files() == {b"a": content}

    async def test_a_part_may_be_written_again_and_over_others(self, place: Place) -> None:
        content = random.Random(3).randbytes(1_000_000)
        file = await place.store.create(place.path(b"a"))
        async with create_task_group() as tasks:
            for start, end in ((0, 600_000), (400_000, 1_000_000), (0, 600_000), (500_000, 500_001)):
                tasks.start_soon(file.write, start, content[start:end])
        await file.finish()
        assert place.world.files() == {b"a": content}

    async def test_writing_nothing_changes_nothing(self, place: Place) -> None:
        file = await place.store.create(place.path(b"a"))
        await file.write(0, b"abc")
        await file.write(1, b"")
        await file.finish()
        assert place.world.files() == {b"a": b"abc"}

    async def test_bytes_of_another_file_are_copied_or_refused(self, place: Place) -> None:
        content = random.Random(7).randbytes(300_000)
        place.world.put(b"old", content)
        reader, file = await place.store.open(place.path(b"old")), await place.store.create(place.path(b"new"))
        await file.write(0, b"head")
        try:
            await file.copy(4, reader, 100_000, 150_000)
        except RemoteError:
            await file.write(4, content[100_000:250_000])
        await file.finish()
        await reader.close()
        assert place.world.files() == {b"old": content, b"new": b"head" + content[100_000:250_000]}

    async def test_two_files_are_written_at_once(self, place: Place) -> None:
        contents = {bytes([65 + i]): random.Random(i).randbytes(700_000) for i in range(5)}
        async with create_task_group() as tasks:
            for name, content in contents.items():
                tasks.start_soon(put, place, name, content)
        assert place.world.files() == contents

    async def test_abandon_raises_nothing_whenever_it_comes(self, place: Place) -> None:
        file = await place.store.create(place.path(b"a"))
        await file.write(0, b"abc")
        await file.abandon()
        await file.abandon()
        await place.store.remove(place.path(b"a"))
        assert place.world.files() == {}

    async def test_abandon_after_finish_keeps_the_file(self, place: Place) -> None:
        file = await place.store.create(place.path(b"a"))
        await file.write(0, b"abc")
        await file.finish()
        await file.abandon()
        assert place.world.files() == {b"a": b"abc"}

    async def test_rename_moves_a_file(self, place: Place) -> None:
        await put(place, b"a", b"content")
        await place.store.rename(place.path(b"a"), place.path(b"b"))
        assert place.world.files() == {b"b": b"content"}

    async def test_rename_never_overwrites(self, place: Place) -> None:
        place.world.put(b"a", b"ours")
        place.world.put(b"b", b"theirs")
        with pytest.raises(RemoteExists, match="exist"):
            await place.store.rename(place.path(b"a"), place.path(b"b"))
        assert place.world.files() == {b"a": b"ours", b"b": b"theirs"}

    async def test_rename_never_replaces_a_dangling_link(self, place: Place) -> None:
        place.world.put(b"a", b"ours")
        if not place.world.link(b"b", b"target"):
            pytest.skip("this store has no symbolic links")
        with pytest.raises(RemoteExists):
            await place.store.rename(place.path(b"a"), place.path(b"b"))
        assert place.world.files() == {b"a": b"ours", b"b": b"target"}

    async def test_rename_of_a_missing_file_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.rename(place.path(b"a"), place.path(b"b"))
        assert place.world.files() == {}

    async def test_a_link_is_the_same_file_or_refused(self, place: Place) -> None:
        place.world.put(b"a", b"content")
        try:
            await place.store.link(place.path(b"a"), place.path(b"b"))
        except RemoteError:
            assert place.world.files() == {b"a": b"content"}
            return
        assert place.world.files() == {b"a": b"content", b"b": b"content"}
        await place.store.remove(place.path(b"a"))
        assert place.world.files() == {b"b": b"content"}

    async def test_a_link_never_overwrites_and_needs_a_file(self, place: Place) -> None:
        place.world.put(b"a", b"ours")
        place.world.put(b"b", b"theirs")
        with pytest.raises(RemoteError):
            await place.store.link(place.path(b"a"), place.path(b"b"))
        with pytest.raises(RemoteError):
            await place.store.link(place.path(b"missing"), place.path(b"c"))
        assert place.world.files() == {b"a": b"ours", b"b": b"theirs"}

    async def test_remove_takes_the_file_away(self, place: Place) -> None:
        place.world.put(b"a", b"x")
        place.world.put(b"b", b"y")
        await place.store.remove(place.path(b"a"))
        assert place.world.files() == {b"b": b"y"}

    async def test_remove_of_a_missing_file_is_fine(self, place: Place) -> None:
        await place.store.remove(place.path(b"a"))
        await place.store.remove(place.path(b"missing/a"))
        assert place.world.files() == {}

    async def test_remove_takes_a_link_and_not_its_target(self, place: Place) -> None:
        place.world.put(b"target", b"theirs")
        if not place.world.link(b"a", b"target"):
            pytest.skip("this store has no symbolic links")
        await place.store.remove(place.path(b"a"))
        assert place.world.files() == {b"target": b"theirs"}

    async def test_make_directory_makes_the_parents_too_and_twice_is_fine(self, place: Place) -> None:
        deep = place.path(b"x/y z/\xff")
        await place.store.make_directory(deep)
        await place.store.make_directory(deep)
        file = await place.store.create(deep + b"/a")
        await file.finish()
        assert [entry.name for entry in await place.store.entries(deep)] == [b"a"]

    async def test_make_directory_refuses_a_file_in_the_way(self, place: Place) -> None:
        place.world.put(b"a", b"theirs")
        with pytest.raises(RemoteError):
            await place.store.make_directory(place.path(b"a/b"))
        assert place.world.files() == {b"a": b"theirs"}

    async def test_entries_are_names_and_times(self, place: Place) -> None:
        await put(place, b"a", b"1")
        await put(place, b".hidden", b"2")
        await place.store.make_directory(place.path(b"d"))
        found = {entry.name: entry.mtime for entry in await place.store.entries(place.directory)}
        assert set(found) == {b"a", b".hidden", b"d"}
        assert abs(found[b"a"] - time.time()) < 60

    async def test_entries_are_sizes_and_kinds(self, place: Place) -> None:
        place.world.put(b"a", b"12345")
        await place.store.make_directory(place.path(b"d"))
        has_link = place.world.link(b"l", b"a")
        found = {entry.name: entry for entry in await place.store.entries(place.directory)}
        kinds = {name: (entry.is_file, entry.is_directory) for name, entry in found.items()}
        assert found[b"a"].size == 5
        assert kinds == {b"a": (True, False), b"d": (False, True)} | ({b"l": (False, False)} if has_link else {})

    async def test_entries_of_a_large_directory_are_complete(self, place: Place) -> None:
        names = {b"%04d" % i for i in range(300)}
        for name in names:
            place.world.put(name, b"")
        assert {entry.name for entry in await place.store.entries(place.directory)} == names

    async def test_entries_of_a_missing_directory_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.entries(place.path(b"missing"))

    async def test_what_is_stored_is_read(self, place: Place) -> None:
        place.world.put(b"a", b"0123456789")
        async with reading(place, b"a") as reader:
            assert reader.size == 10
            assert await reader.read(0, 10) == b"0123456789"
            assert await reader.read(3, 4) == b"3456"
            assert await reader.read(9, 1) == b"9"
            assert await reader.read(10, 0) == b""

    async def test_an_empty_file_is_read(self, place: Place) -> None:
        place.world.put(b"a", b"")
        async with reading(place, b"a") as reader:
            assert reader.size == 0
            assert await reader.read(0, 0) == b""
            with pytest.raises(RemoteTruncated):
                await reader.read(0, 1)

    async def test_any_ranges_are_read_at_once(self, place: Place) -> None:
        chance = random.Random(11)
        content = chance.randbytes(3_000_000)
        place.world.put(b"a", content)
        borders = [sorted(chance.choices(range(len(content) + 1), k=2)) for _ in range(24)]
        sizes = (0, 1, 32_768, 261_119, 261_120, 261_121, 522_240, 522_241)
        ranges = [(start, end - start) for start, end in borders] + [(77, size) for size in sizes]
        found: dict[tuple[int, int], bytes] = {}

        async def read(reader: RemoteReader, offset: int, length: int) -> None:
            found[offset, length] = await reader.read(offset, length)

        async with reading(place, b"a") as reader, create_task_group() as tasks:
            for offset, length in ranges:
                tasks.start_soon(read, reader, offset, length)
        assert found == {(offset, length): content[offset : offset + length] for offset, length in ranges}

    @pytest.mark.parametrize(("offset", "length"), [(0, 11), (9, 2), (10, 1), (11, 1), (10**12, 5), (0, 3_000_000)])
    async def test_reading_past_the_end_is_an_error(self, place: Place, offset: int, length: int) -> None:
        place.world.put(b"a", b"0123456789")
        async with reading(place, b"a") as reader:
            with pytest.raises(RemoteTruncated, match="a"):
                await reader.read(offset, length)
            assert await reader.read(0, 10) == b"0123456789"

    async def test_a_file_that_is_cut_while_it_is_read_is_an_error(self, place: Place) -> None:
        content = bytes(range(256)) * 4000
        place.world.put(b"a", content)
        async with reading(place, b"a") as reader:
            assert await reader.read(500_000, 10) == content[500_000:500_010]
            place.world.put(b"a", content[:400_000])
            with pytest.raises(RemoteTruncated):
                await reader.read(0, len(content))
            assert await reader.read(0, 400_000) == content[:400_000]

    async def test_open_of_a_missing_file_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.open(place.path(b"missing"))
        with pytest.raises(RemoteNotFound):
            await place.store.open(place.path(b"missing/a"))

    async def test_open_refuses_a_directory(self, place: Place) -> None:
        await place.store.make_directory(place.path(b"d"))
        with pytest.raises(RemoteError, match="not a regular file"):
            await place.store.open(place.path(b"d"))

    async def test_open_never_follows_a_link(self, place: Place) -> None:
        place.world.put(b"target", b"theirs")
        if not place.world.link(b"a", b"target"):
            pytest.skip("this store has no symbolic links")
        with pytest.raises(RemoteError, match="not a regular file"):
            await place.store.open(place.path(b"a"))

    async def test_a_reader_may_be_closed_twice(self, place: Place) -> None:
        place.world.put(b"a", b"x")
        reader = await place.store.open(place.path(b"a"))
        await reader.close()
        await reader.close()

    @pytest.mark.parametrize(("length", "expected"), [(0, b""), (1, b"9"), (10, b"0123456789"), (99, b"0123456789")])
    async def test_the_ending_of_a_file_is_read(self, place: Place, length: int, expected: bytes) -> None:
        place.world.put(b"a", b"0123456789")
        assert await place.store.read_ending(place.path(b"a"), 10, length) == expected

    async def test_a_long_ending_is_read_whole(self, place: Place) -> None:
        content = random.Random(5).randbytes(900_000)
        place.world.put(b"a", content)
        assert await place.store.read_ending(place.path(b"a"), 900_000, 700_000) == content[200_000:]

    async def test_the_ending_of_a_file_that_became_shorter_is_an_error(self, place: Place) -> None:
        place.world.put(b"a", b"0123456789")
        with pytest.raises(RemoteTruncated):
            await place.store.read_ending(place.path(b"a"), 12, 5)

    async def test_the_ending_of_a_missing_file_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.read_ending(place.path(b"a"), 12, 5)

    async def test_the_endings_of_many_files_are_read_at_once(self, place: Place) -> None:
        contents = {b"%03d" % i: random.Random(i).randbytes(50 + i) for i in range(200)}
        for name, content in contents.items():
            place.world.put(name, content)
        found = {}

        async def read(entry: RemoteEntry) -> None:
            found[entry.name] = await place.store.read_ending(place.path(entry.name), entry.size, 100)

        async with create_task_group() as tasks:
            for entry in await place.store.entries(place.directory):
                tasks.start_soon(read, entry)
        assert found == {name: content[-100:] for name, content in contents.items()}

    async def test_digest_of_a_missing_file_is_not_found(self, place: Place) -> None:
        with pytest.raises(RemoteNotFound):
            await place.store.digest(place.path(b"missing"), 1)

    async def test_digest_tells_what_is_stored_not_what_was_sent(self, place: Place) -> None:
        await put(place, b"a", b"what was sent")
        place.world.put(b"a", b"what is there now")
        assert (await place.store.digest(place.path(b"a"), 13)).value == md5(b"what is there now")

    async def test_several_digests_may_be_asked_for_at_once(self, place: Place) -> None:
        contents = {b"%d" % i: b"%d" % i * 1000 for i in range(20)}
        for name, content in contents.items():
            place.world.put(name, content)
        found = {}

        async def ask(name: bytes) -> None:
            found[name] = (await place.store.digest(place.path(name), 1000)).value

        async with create_task_group() as tasks:
            for name in contents:
                tasks.start_soon(ask, name)
        assert found == {name: md5(content) for name, content in contents.items()}

    async def test_hostile_names_are_only_names(self, place: Place) -> None:
        for name in HOSTILE_NAMES:
            content = b"content of " + name
            await put(place, b"t" + name[:200], content)
            await place.store.rename(place.path(b"t" + name[:200]), place.path(name))
            assert (await place.store.digest(place.path(name), len(content))).value == md5(content)
            assert await place.store.read_ending(place.path(name), len(content), 99) == content[-99:]
            async with reading(place, name) as reader:
                assert await reader.read(0, reader.size) == content
        listed = {entry.name for entry in await place.store.entries(place.directory)}
        assert listed == set(HOSTILE_NAMES)
        assert place.world.files() == {name: b"content of " + name for name in HOSTILE_NAMES}

    async def test_sync_directory_raises_nothing(self, place: Place) -> None:
        await place.store.sync_directory(place.directory)
        await place.store.sync_directory(place.path(b"missing"))
