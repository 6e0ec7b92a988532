"""Requests to addresses that clients name (`image_url`, webhooks), which must not lead into the house.

A name is resolved once, every address it has is judged, and the connection goes to a judged address: a name that means
something else a moment later gains nothing. Redirects are answers, not followed.
"""

import asyncio
import base64
import ipaddress
import socket
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes, urlsplit

import httpx2

from worldpatch.config import UserError

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # RFC 6052
COMPATIBLE = ipaddress.IPv6Network("::/96")  # RFC 4291, section 2.5.5.1
TIMEOUT = 10.0  # seconds for the whole exchange


@dataclass(frozen=True)
class Reach:
    """Where requests may go. `private` allows loopback and private networks: for trials, and for services beside."""

    private: bool = False
    schemes: tuple[str, ...] = ("http", "https")


async def post(url: str, body: bytes, headers: dict[str, str], reach: Reach) -> int:
    """The status of the answer; its body is not read."""
    address = await _judged(url, reach)
    async with _client(address, url) as client, client.stream("POST", url, content=body, headers=headers) as answer:
        return answer.status_code


async def fetch(url: str, reach: Reach, most: int) -> bytes:
    """The content of an address, or of a data URL. Raises UserError on what is too large, redirects or fails."""
    if url.startswith("data:"):
        return _data(url, most)
    address = await _judged(url, reach)
    try:
        async with asyncio.timeout(TIMEOUT), _client(address, url) as client, client.stream("GET", url) as answer:
            if answer.status_code != 200:
                raise UserError(f"{_told(url)} answers {answer.status_code}: give an address that answers 200 itself")
            found = bytearray()
            async for chunk in answer.aiter_bytes():
                found += chunk
                if len(found) > most:
                    raise UserError(f"{_told(url)} is longer than {most} bytes: make it smaller")
            return bytes(found)
    except (httpx2.HTTPError, TimeoutError) as error:
        raise UserError(f"{_told(url)} cannot be fetched ({type(error).__name__}): look whether it is there") from error


async def check(url: str, reach: Reach) -> None:
    """Raises UserError where requests to an address would not be made."""
    await _judged(url, reach)


async def _judged(url: str, reach: Reach) -> str:
    """An address of the host, all of whose addresses are outside the house."""
    try:
        parts = urlsplit(url)
        port = parts.port or (443 if parts.scheme == "https" else 80)
    except ValueError as error:
        raise UserError(f"{_told(url)} is no address: {error}") from error
    if parts.scheme not in reach.schemes or not parts.hostname or parts.username or parts.password:
        schemes = " or ".join(f"{scheme}://" for scheme in reach.schemes)
        raise UserError(f"{_told(url)}: give an address that begins with {schemes}")
    try:
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise UserError(f"{_told(url)}: the name {parts.hostname!r} leads nowhere") from error
    addresses = [str(entry[4][0]) for entry in found]
    if not reach.private and not all(_outside(address) for address in addresses):
        raise UserError(f"{_told(url)} leads to a private address: give a public one")
    return str(addresses[0])


def _outside(address: str) -> bool:
    """Whether an address, and the IPv4 address that it may carry, is of the public internet."""
    found = ipaddress.ip_address(address.split("%")[0])
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if found in NAT64 or found in COMPATIBLE:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        found = inner or found
    return found.is_global and not found.is_multicast


def _client(address: str, url: str) -> httpx2.AsyncClient:
    """A client whose connections all go to one address, under the name that the certificate is for."""
    transport = _Pinned(address, urlsplit(url).hostname or "")
    return httpx2.AsyncClient(transport=transport, timeout=TIMEOUT, follow_redirects=False, trust_env=False)


class _Pinned(httpx2.AsyncHTTPTransport):
    def __init__(self, address: str, host: str):
        super().__init__()
        self.address, self.host = address, host

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        request.extensions = {**request.extensions, "sni_hostname": self.host}
        request.url = request.url.copy_with(host=self.address)  # the Host header was set from the name before
        return await super().handle_async_request(request)


def _data(url: str, most: int) -> bytes:
    head, found, content = url.partition(",")
    if not found:
        raise UserError(f"{_told(url)}: a data URL is written data:image/png;base64,...")
    if len(content) > most * 4 // 3 + 4:
        raise UserError(f"a data URL of {len(url)} characters: at most {most * 4 // 3}")
    try:
        return base64.b64decode(content, validate=True) if head.endswith(";base64") else unquote_to_bytes(content)
    except ValueError as error:
        raise UserError(f"{_told(url)} holds no base64: {error}") from error


def _told(url: str) -> str:
    return repr(url if len(url) < 100 else url[:97] + "...")
