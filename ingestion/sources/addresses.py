"""Addresses: which hosts of the network a source may be fetched from."""

import socket
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import httpcore

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# IPv6 addresses that carry an IPv4 address to which a gateway or the system itself may lead: mapped, compatible,
# translated, NAT64 (RFC 6052, and RFC 8215 with it at its end), 6to4 (after 16 bits).
_LAST_32 = tuple(map(ip_network, ("::ffff:0:0/96", "::/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")))
_6TO4 = ip_network("2002::/16")
_TEREDO = ip_network("2001::/32")
# What ipaddress counts as global, but is not the public internet: site-local addresses and metadata services.
_NOT_PUBLIC = tuple(map(ip_network, ("fec0::/10", "192.0.0.0/24", "168.63.129.16/32")))


class AddressRefused(Exception):
    """The host is, or leads to, an address that is not public."""


def public(address: Address) -> bool:
    """Whether an address is one of the public internet, and so are those that it stands for."""
    if not address.is_global or address.is_multicast or address.is_reserved:
        return False
    if any(address.version == network.version and address in network for network in _NOT_PUBLIC):
        return False
    return all(public(inner) for inner in _inside(address))


def _inside(address: Address) -> Iterable[IPv4Address]:
    """The IPv4 addresses that an IPv6 address carries."""
    if isinstance(address, IPv6Address):
        number = int(address)
        if any(address in network for network in _LAST_32):
            yield IPv4Address(number & 0xFFFFFFFF)
        if address in _6TO4:
            yield IPv4Address(number >> 80 & 0xFFFFFFFF)
        if address in _TEREDO:
            yield IPv4Address(~number & 0xFFFFFFFF)


class PublicNetwork(httpcore.SyncBackend):
    """Connects to public addresses, and to those of the networks `allowed`, only.

    A name is resolved once, every address that it has is checked, and the connection goes to a checked address: what
    the name leads to afterwards does not matter. Forms such as `0x7f.1` are resolved as the system does, then checked.
    """

    def __init__(self, allowed: Sequence[Network] = ()) -> None:
        self._allowed = allowed

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        """A connection to a checked address. Raises AddressRefused, httpcore.ConnectError, httpcore.ConnectTimeout."""
        error: httpcore.ConnectError | httpcore.ConnectTimeout | None = None
        for address in self._checked(host, port):
            try:
                return super().connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as caught:
                error = caught
        raise error or httpcore.ConnectError(f"{host} has no address")

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.NetworkStream:
        """Raises AddressRefused."""
        raise AddressRefused(f"{path} is a socket of this machine")

    def _checked(self, host: str, port: int) -> list[str]:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} cannot be resolved: {error}") from error
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            self._check(host, ip_address(address.partition("%")[0]), scoped="%" in address)
        return addresses

    def _check(self, host: str, address: Address, *, scoped: bool) -> None:
        if any(address.version == network.version and address in network for network in self._allowed):
            return
        if scoped or not public(address):
            where = "" if host == str(address) else f" ({address})"
            raise AddressRefused(
                f"{host}{where} is not an address of the public internet; to fetch documents from it all the same, add "
                f'"{address}" to the source\'s allow_networks'
            )
