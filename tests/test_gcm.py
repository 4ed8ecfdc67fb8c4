"""AES-GCM with its key set up once: the same bytes on the line as asyncssh's own cipher, and no count used twice."""

from __future__ import annotations

import pytest
from asyncssh.crypto.cipher import GCMCipher
from asyncssh.encryption import get_encryption
from hypothesis import given
from hypothesis import strategies as st

from async_backup.remote.ssh.gcm import TAG, Gcm, gcm_of

PACKETS = st.lists(st.tuples(st.binary(min_size=4, max_size=4), st.binary(max_size=100)), max_size=6)


def ciphers(key: bytes, iv: bytes) -> tuple[GCMCipher, Gcm]:
    return GCMCipher("aes256-gcm", key, iv), Gcm(GCMCipher("aes256-gcm", key, iv))


@given(key=st.binary(min_size=32, max_size=32), iv=st.binary(min_size=12, max_size=12), packets=PACKETS)
def test_packets_are_those_of_the_library(key: bytes, iv: bytes, packets: list[tuple[bytes, bytes]]) -> None:
    theirs, ours = ciphers(key, iv)
    for number, (head, packet) in enumerate(packets):
        expected = theirs.encrypt_and_sign(head, packet)
        if number % 2:
            assert ours.seal(head, packet) == b"".join(expected)
        else:
            assert ours.encrypt_and_sign(head, packet) == expected


@given(iv=st.sampled_from([bytes(12), b"\xff" * 12]), packets=PACKETS)
def test_what_the_library_sealed_is_opened(iv: bytes, packets: list[tuple[bytes, bytes]]) -> None:
    theirs, ours = ciphers(bytes(32), iv)
    for number, (head, packet) in enumerate(packets):
        sealed, tag = theirs.encrypt_and_sign(head, packet)
        data = sealed[len(head) :]
        found = ours.open(head, memoryview(data + tag)) if number % 2 else ours.verify_and_decrypt(head, data, tag)
        assert found == packet


@pytest.mark.parametrize("place", [0, 4, 20, -1])
def test_a_changed_byte_is_noticed_and_the_next_packet_is_still_read(place: int) -> None:
    theirs, ours = ciphers(bytes(32), bytes(12))
    changed = bytearray(b"".join(theirs.encrypt_and_sign(b"head", bytes(30))))
    changed[place] ^= 1
    assert ours.open(bytes(changed[:4]), bytes(changed[4:])) is None
    sealed, tag = theirs.encrypt_and_sign(b"head", b"next")
    assert ours.open(b"head", sealed[4:] + tag) == b"next"


def test_the_library_and_we_share_one_counter() -> None:
    encryption = get_encryption(b"aes128-gcm@openssh.com", bytes(16), bytes(12))
    first = b"".join(encryption.encrypt_packet(0, b"head", b"same"))
    ours = gcm_of(encryption)
    assert ours is not None
    second = ours.seal(b"head", b"same")
    third = b"".join(encryption.encrypt_packet(2, b"head", b"same"))
    assert gcm_of(encryption) is ours
    opening = GCMCipher("aes128-gcm", bytes(16), bytes(12))
    for sealed in (first, second, third):
        assert opening.verify_and_decrypt(b"head", sealed[4:-TAG], sealed[-TAG:]) == b"same"
    assert len({first, second, third}) == 3


def test_another_cipher_is_left_alone() -> None:
    assert gcm_of(get_encryption(b"chacha20-poly1305@openssh.com", bytes(64), b"")) is None
