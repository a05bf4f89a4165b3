"""One reading of a receiver's URL. What two parsers could read in two ways is refused, not guessed."""

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

import idna

URL_CHARS = 2_048
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_TARGET = re.compile(r"[!-;=?-\[\]_a-z~|]*")  # printable ASCII without < > " \ ^ ` { }
_NUMBERISH = re.compile(r"(0x[0-9a-f]*|[0-9]+)")


class BadUrl(ValueError):
    """A URL that is not used; says why."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a request goes: exactly what is connected to, told in the TLS handshake, and sent as `Host`."""

    scheme: str  # "https" or "http"
    host: str  # ASCII, lower case, without a final dot; an IPv6 address without brackets
    port: int
    path: str  # with its query

    @property
    def authority(self) -> str:
        """The `Host` header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == {"https": 443, "http": 80}[self.scheme] else f"{host}:{self.port}"

    @property
    def literal(self) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
        """The address, where the host is one."""
        try:
            return ipaddress.ip_address(self.host)
        except ValueError:
            return None


def read_url(url: str) -> Target:
    """Raises `BadUrl`."""
    if not isinstance(url, str) or not 0 < len(url) <= URL_CHARS:
        raise BadUrl(f"Give a URL of at most {URL_CHARS} characters.")
    if any(char <= " " or char == "\x7f" or char == "\\" for char in url):
        raise BadUrl("The URL holds a blank, a backslash or a control character.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadUrl("This is no URL: its host or port cannot be read.") from None
    scheme = parts.scheme.lower()
    if scheme not in ("https", "http"):
        raise BadUrl("The URL must begin with https://")
    if "@" in parts.netloc:
        raise BadUrl("The URL holds a user name or password; the signature tells the receiver who is calling.")
    if port == 0:
        raise BadUrl("Port 0 cannot be connected to.")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(path):
        raise BadUrl("Percent-encode special characters in the URL's path and query.")
    return Target(scheme, _host(parts.netloc, parts.hostname or ""), port or {"https": 443, "http": 80}[scheme], path)


def _host(netloc: str, host: str) -> str:
    if netloc.startswith("["):
        try:
            address = ipaddress.IPv6Address(host)
        except ValueError:
            raise BadUrl("What stands in brackets is no IPv6 address.") from None
        if address.scope_id:
            raise BadUrl("An IPv6 address with a zone cannot be used.")
        return str(address)
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode()
        except (idna.IDNAError, UnicodeError):
            raise BadUrl("The host name cannot be used.") from None
    host = host.lower().removesuffix(".")
    labels = host.split(".")
    if len(host) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise BadUrl("The host name cannot be used.")
    if _NUMBERISH.fullmatch(labels[-1]):  # resolvers read 2130706433, 0x7f.1 and 0177.0.0.1 as addresses, too
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise BadUrl("Write an IPv4 address as four decimal numbers.") from None
    return host
