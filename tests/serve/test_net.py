"""Requests to addresses that clients name: what leads into the house is refused, before and after a name changes."""

import asyncio
import http.server
import ipaddress
import socket
import threading

import pytest

from worldpatch.config import UserError
from worldpatch.serve import net

INSIDE = net.Reach(private=True)
HERE = "http://127.0.0.1"


@pytest.fixture(scope="module")
def site():
    """A server on loopback: /ok, /long, /away (a redirect), /slow."""

    class Site(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/away":
                self.send_response(302)
                self.send_header("location", "http://127.0.0.1:1/secret")
                self.end_headers()
                return
            body = b"x" * (2000 if self.path == "/long" else 2)
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body + self.headers["host"].encode()[:0])

        def do_POST(self):
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def fetch(url, reach=net.Reach(), most=1000):  # noqa: B008
    return asyncio.run(net.fetch(url, reach, most))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://localhost/", "http://0.0.0.0/", "http://10.0.0.1/", "http://192.168.1.1/",
        "http://169.254.169.254/latest/meta-data/", "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[fc00::1]/",
        "http://[fe80::1%25lo]/", "http://2130706433/", "http://0x7f.1/", "http://017700000001/", "http://224.0.0.1/",
        "http://100.64.0.1/", "http://[64:ff9b::7f00:1]/",
        "http://[::7f00:1]/", "http://[2002:7f00:1::]/", "http://127.1/",
    ],
)  # fmt: skip
def test_private_addresses_are_refused(url):
    with pytest.raises(UserError, match="private|nowhere"):
        fetch(url)


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.org/",
        "gopher://x/",
        "http://",
        "//x",
        "",
        "http://a:b@example.org/",
        "http://[::1",
    ],
)
def test_what_is_no_address_is_refused(url):
    with pytest.raises(UserError, match="address"):
        fetch(url)


def test_a_name_is_resolved_once_and_all_its_addresses_are_judged(monkeypatch):
    asked = []

    async def resolve(self, host, port, **_):
        asked.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, port)) for a in ("93.184.216.34", "127.0.0.1")]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)
    with pytest.raises(UserError, match="private"):
        fetch("http://two-faced.example/")
    assert asked == ["two-faced.example"]


def test_the_connection_goes_to_the_judged_address(site, monkeypatch):
    """The name means something else at every look; only the first look counts."""
    answers = iter([("127.0.0.1", site), ("10.9.9.9", 1)])

    async def resolve(self, host, port, **_):
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", next(answers))]

    monkeypatch.setattr("asyncio.base_events.BaseEventLoop.getaddrinfo", resolve)
    monkeypatch.setattr(net, "_outside", lambda address: ipaddress.ip_address(address).is_loopback)
    assert fetch(f"http://rebinding.example:{site}/ok") == b"xx"


def test_content_comes_whole_or_not_at_all(site):
    assert fetch(f"{HERE}:{site}/ok", INSIDE) == b"xx"
    with pytest.raises(UserError, match="longer than 1000"):
        fetch(f"{HERE}:{site}/long", INSIDE)


def test_redirects_are_not_followed(site):
    with pytest.raises(UserError, match="answers 302"):
        fetch(f"{HERE}:{site}/away", INSIDE)


def test_nobody_there():
    with pytest.raises(UserError, match="cannot be fetched"):
        fetch(f"{HERE}:1/", INSIDE)


def test_data_urls():
    assert fetch("data:image/png;base64,aGk=") == b"hi" and fetch("data:,a%20b") == b"a b"
    for wrong in ("data:image/png;base64,???", "data:image/png", "data:;base64," + "A" * 2000):
        with pytest.raises(UserError):
            fetch(wrong)


def test_a_post_tells_the_status(site):
    assert asyncio.run(net.post(f"{HERE}:{site}/", b"{}", {}, INSIDE)) == 204
    with pytest.raises(UserError, match="private"):
        asyncio.run(net.post(f"{HERE}:{site}/", b"{}", {}, net.Reach()))
