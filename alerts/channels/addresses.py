"""Which addresses a webhook may reach: everything public, and what ALERT_WEBHOOK_ALLOWED_HOSTS lists.

The check is made on the address that is connected to, not on the name: names are in other people's hands.
"""

import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

#: Refused besides what Python's `ipaddress` knows as not global, in its older releases too (IANA's special-purpose
#: registries): forms of IPv6 that carry an IPv4 address, which a gateway may translate to anywhere, and what answers as
#: a cloud's metadata under a public address.
SPECIAL: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15", "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # Azure's WireServer
        "::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "100::/64", "2001::/23",
        "2001:db8::/32", "2002::/16", "3fff::/20", "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
    )
)  # fmt: skip
#: Not opened by listing a name, only by listing their network: nobody means these by a host's name.
NEVER_BY_NAME: tuple[Network, ...] = tuple(
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "169.254.0.0/16", "224.0.0.0/4", "240.0.0.0/4", "168.63.129.16/32", "100.100.100.200/32",
        "192.0.0.192/32", "::/128", "fe80::/10", "ff00::/8", "fd00:ec2::254/128", "::ffff:0:0/96",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Exceptions:
    """What an operator opened: host names and networks."""

    hosts: frozenset[str] = frozenset()
    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, entries: Iterable[str]) -> "Exceptions":
        """Read names, addresses and networks. Raises ValueError for an entry that is none of them."""
        hosts, networks = set(), []
        for entry in entries:
            try:
                networks.append(ipaddress.ip_network(entry.strip("[]")))
            except ValueError:
                name = entry.lower().rstrip(".")
                if "/" in name or ":" in name or "*" in name or not name:
                    raise ValueError(f"{entry!r} is neither a host name nor a network") from None
                hosts.add(name)
        return cls(frozenset(hosts), tuple(networks))

    def lists(self, host: str, address: Address) -> bool:
        """Is `address`, which `host` stands for, opened?"""
        if _within(address, self.networks):
            return True
        return host in self.hosts and not _within(address, NEVER_BY_NAME)


def is_public(address: Address) -> bool:
    """May anybody's webhook be sent there?"""
    if isinstance(address, ipaddress.IPv6Address) and address.scope_id:
        return False
    return address.is_global and not address.is_multicast and not _within(address, SPECIAL)


def _within(address: Address, networks: Iterable[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)
