"""One HTTP request to a monitor, with the standard library."""

from __future__ import annotations

from http.client import HTTPException
from typing import IO, TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

if TYPE_CHECKING:
    from http.client import HTTPMessage

_WORTH_A_RETRY = frozenset({408, 425, 429})


class DeliveryError(Exception):
    """The monitor did not take the message; the text contains nothing of the address."""

    def __init__(self, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.is_permanent = is_permanent


def deliver(url: str, body: bytes | None, timeout: float) -> None:
    """GET, or POST where there is a body; each step waits up to `timeout` seconds. Raises DeliveryError."""
    headers = {"User-Agent": "async-backup", "Content-Type": "text/plain; charset=utf-8"}
    try:
        with build_opener(_Redirection()).open(Request(url, body, headers), timeout=timeout):
            pass
    except HTTPError as error:
        error.close()
        is_permanent = error.code < 500 and error.code not in _WORTH_A_RETRY
        raise DeliveryError(f"HTTP status {error.code}", is_permanent=is_permanent) from None
    except URLError as error:
        raise DeliveryError(_text(error.reason)) from None
    except TimeoutError:
        raise DeliveryError(f"no answer within {timeout:g} s") from None
    except (OSError, HTTPException, ValueError) as error:
        raise DeliveryError(f"no answer of HTTP ({type(error).__name__})") from None


def _text(reason: str | BaseException) -> str:
    return getattr(reason, "strerror", None) or str(reason)


class _Redirection(HTTPRedirectHandler):
    """Sends the same at the new place: the usual handler would lose the body on the way from http to https."""

    def redirect_request(  # noqa: PLR0917 # the signature of urllib
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request:
        del msg, headers
        fp.close()
        scheme = urlsplit(newurl).scheme
        if scheme not in {"http", "https"} or (req.type == "https" and scheme != "https"):
            raise URLError(f"it redirects from {req.type} to {scheme}")
        body = None if code == 303 else req.data
        return Request(newurl, body, req.headers)
