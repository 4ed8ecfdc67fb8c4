"""The keys of both sides: our private keys, and the host keys that the user trusts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import asyncssh

from async_backup.errors import AuthenticationError, HostKeyError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")

_ATTEMPTS = 3


def load_keys(paths: Sequence[Path], ask: Callable[[Path], str | None] | None) -> list[asyncssh.SSHKeyPair]:
    """The private keys in `paths`, with their certificates; blocks for bcrypt, and for `ask` where one is encrypted.

    Raises SettingsError for a file that is no key, AuthenticationError for one that cannot be decrypted.
    """
    return [pair for path in paths for pair in _load_key(path, ask)]


def _load_key(path: Path, ask: Callable[[Path], str | None] | None) -> Sequence[asyncssh.SSHKeyPair]:
    try:
        return asyncssh.load_keypairs(str(path))
    except FileNotFoundError as error:
        raise SettingsError(f"the key {path} does not exist") from error
    except OSError as error:
        raise SettingsError(f"the key {path} cannot be read: {error.strerror}") from error
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        if "assphrase" not in str(error):
            raise SettingsError(f"{path} is not a private key that can be used: {error}") from error
    return _decrypt(path, ask)


def _decrypt(path: Path, ask: Callable[[Path], str | None] | None) -> Sequence[asyncssh.SSHKeyPair]:
    for _ in range(_ATTEMPTS if ask else 0):
        passphrase = ask(path) if ask else None
        if not passphrase:
            break
        try:
            return asyncssh.load_keypairs(str(path), passphrase)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            if "bcrypt" in str(error):
                raise SettingsError(f"the key {path} cannot be decrypted: {error}") from error
    raise AuthenticationError(
        f"the key {path} is encrypted and no right passphrase was given; "
        "run from a terminal to be asked for it, or load the key into ssh-agent (ssh-add)"
    )


def encrypted_keys(paths: Iterable[Path]) -> list[Path]:
    """Those of the private keys that nobody asked a passphrase for, so that they were passed over."""
    return [path for path in paths if _is_encrypted(path)]


def _is_encrypted(path: Path) -> bool:
    try:
        asyncssh.read_private_key(str(path))
    except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
        return "assphrase" in str(error)
    except (OSError, ValueError):
        return False
    return False


class KnownHosts:
    """Trusted host keys, matched by the name that was asked for, as ssh(1) does.

    asyncssh alone would also trust a key that is listed for the address only.
    """

    def __init__(self, files: Iterable[Path]) -> None:
        """Read the files, which must exist; raises HostKeyError for a line that cannot be understood."""
        self._files = [str(file) for file in files]
        self._file_to_extend = self._files[0] if self._files else "~/.ssh/known_hosts"
        try:
            self._hosts = asyncssh.read_known_hosts(self._files)
        except (ValueError, OSError) as error:
            raise HostKeyError(f"known hosts in {', '.join(self._files)} cannot be read: {error}") from error

    def match(self, host: str, address: str, port: int | None) -> tuple[Sequence[object], ...]:
        """Trusted keys, trusted authorities and revoked keys, in the shape that asyncssh asks for."""
        del address
        return tuple(self._hosts.match(host, "", port)[:3])

    def listed(self, host: str, port: int) -> tuple[Sequence[object], ...]:
        """The same for a server's real port, which asyncssh leaves out where it is the usual one."""
        return self.match(host, "", port if port != asyncssh.DEFAULT_PORT else None)

    def describe(self) -> str:
        return " or ".join(self._files) or "any known_hosts file"

    def problem(self, host: str, port: int, key: asyncssh.SSHKey | None) -> HostKeyError:
        """Why the server's `key` (None where it could not be fetched) was not trusted, and what to do."""
        trusted, authorities, revoked = self.listed(host, port)
        shown = f"{key.get_algorithm()} {key.get_fingerprint()}" if key else "unknown: it could not be fetched"
        if key is not None and key in revoked:
            return HostKeyError(f"{host}: the host key {shown} is marked as revoked in {self.describe()}")
        if trusted or authorities:
            return HostKeyError(
                f"{host}: the HOST KEY HAS CHANGED; the server now shows {shown}, but {self.describe()} lists another. "
                "Somebody may be listening in, or the server was set up anew. If you know why it changed, "
                f"remove the old key with: ssh-keygen -f {self._file_to_extend} -R '{_pattern(host, port)}' "
                "and add the new one"
            )
        port_option = "" if port == asyncssh.DEFAULT_PORT else f"-p {port} "
        return HostKeyError(
            f"{host}: the host key is unknown; the server shows {shown}. Compare it with the fingerprint that the "
            f"server's owner gives you, then add it with: ssh-keyscan {port_option}{host} >> {self._file_to_extend}"
        )


def _pattern(host: str, port: int) -> str:
    return host if port == asyncssh.DEFAULT_PORT else f"[{host}]:{port}"


def known_hosts_files(explicit: Path | None, configured: Sequence[str]) -> list[Path]:
    """The files that hold the trusted host keys: the one named, or those of ssh's configuration, or the usual ones."""
    if explicit is not None:
        if not explicit.exists():
            raise SettingsError(f"the known_hosts file {explicit} does not exist; make it with ssh-keyscan HOST > FILE")
        return [explicit]
    usual = [str(Path("~/.ssh/known_hosts")), str(Path("~/.ssh/known_hosts2")), str(SYSTEM_KNOWN_HOSTS)]
    files = [Path(name).expanduser() for name in (configured or usual)]
    return [file for file in files if file.is_file()]
