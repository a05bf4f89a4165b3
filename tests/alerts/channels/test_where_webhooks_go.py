"""No webhook reaches what is not public: forty ways to try, and a trap at the end of each."""

import socket
import time

import pytest

from alerts.channels import send, validate, webhook
from alerts.channels.addresses import Exceptions
from alerts.channels.errors import InvalidChannel, Permanent, Temporary
from alerts.channels.http import Client, Refused, Unreachable
from alerts.channels.urls import BadUrl, read_url
from tests.alerts.channels.conftest import PUBLIC, a_message
from tests.alerts.channels.receivers import raw_server, receiver

SECRETS = {"secret": "whsec_" + "A" * 43 + "="}

#: What each is connected to, if nobody looks: this machine. `{p}` is the traps' port.
HOSTILE = (
    "http://127.0.0.1:{p}/", "https://127.0.0.1:{p}/", "http://127.0.0.2:{p}/", "http://127.1.2.3:{p}/",
    "http://127.1:{p}/", "http://127.0.1:{p}/", "http://2130706433:{p}/", "http://0x7f000001:{p}/",
    "http://0x7f.0.0.1:{p}/", "http://0x7f.1:{p}/", "http://0177.0.0.1:{p}/", "http://017700000001:{p}/",
    "http://0000:{p}/", "http://0:{p}/", "http://0.0.0.0:{p}/", "http://[::]:{p}/", "http://[::1]:{p}/",
    "http://[0:0:0:0:0:0:0:1]:{p}/", "http://[::ffff:127.0.0.1]:{p}/", "http://[::ffff:7f00:1]:{p}/",
    "http://[::127.0.0.1]:{p}/", "http://[64:ff9b::7f00:1]:{p}/", "http://[2002:7f00:1::]:{p}/",
    "http://[::1%25lo]:{p}/", "http://localhost:{p}/", "http://localhost.:{p}/", "http://LOCALHOST:{p}/",
    "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{p}/", "http://１２７.０.０.１:{p}/", "http://127。0。0。1:{p}/", "http://127%2e0%2e0%2e1:{p}/",
    "http://user@127.0.0.1:{p}/", "http://public.test@127.0.0.1:{p}/", "http://127.0.0.1:{p}#@public.test/",
    "http://127.0.0.1:{p}\\@public.test/", "http://public.test:80@127.0.0.1:{p}/", "http://127.0.0.1:{p}?@public.test/",
    "http:127.0.0.1:{p}/", "//127.0.0.1:{p}/", "gopher://127.0.0.1:{p}/_x", "file:///etc/passwd", "ftp://127.0.0.1:{p}/",
    "unix:///var/run/docker.sock", "http://127.0.0.1:{p}\r\nHost: public.test/", " http://127.0.0.1:{p}/",
    "http://127.0.0.1:{p}/%0d%0aX", "https://127-0-0-1.names.test:{p}/", "https://flips.test:{p}/",
    "https://mixed.test:{p}/", "https://mapped.test:{p}/", "https://zone.test:{p}/", "https://metadata.test/",
)  # fmt: skip
#: What names of other people stand for.
NAMES = {
    "127-0-0-1.names.test": ["127.0.0.1"], "mixed.test": [PUBLIC, "127.0.0.1"], "mapped.test": ["::ffff:127.0.0.1"],
    "zone.test": ["fe80::1%1"], "metadata.test": ["169.254.169.254"],
}  # fmt: skip


class Names:
    """A resolver as an attacker runs it: `flips.test` is public for who asks once, and here for who asks again."""

    def __init__(self):
        self.asked = []

    def __call__(self, host, port):
        self.asked.append(host)
        if host == "flips.test":
            return [(socket.AF_INET, (PUBLIC if self.asked.count(host) % 2 else "127.0.0.1", port))]
        if host not in NAMES:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            return [(family, address) for family, _, _, _, address in found]
        return [
            (socket.AF_INET6, (address, port, 0, 0)) if ":" in address else (socket.AF_INET, (address, port))
            for address in NAMES[host]
        ]


@pytest.fixture
def names(monkeypatch):
    """Names as an attacker gives them. Connections to the public address end nowhere; all others are made."""
    resolver, dialled = Names(), []

    def connect(family, address, timeout_s):
        dialled.append(address[0])
        if address[0] == PUBLIC:
            raise ConnectionRefusedError
        return socket.create_connection(address[:2], timeout_s)

    made = lambda inside: Client(  # noqa: E731
        Exceptions.of(webhook.settings.ALERT_WEBHOOK_ALLOWED_HOSTS), resolve=resolver, connect=connect, deadline_s=3
    )
    monkeypatch.setattr(webhook, "client", made)
    resolver.dialled = dialled
    return resolver


def test_no_hostile_url_reaches_a_trap(traps, names):
    assert len(HOSTILE) >= 40
    for form in HOSTILE:
        url = form.format(p=traps.port)
        with pytest.raises((Permanent, Temporary)) as refused:
            send("webhook", config={"url": url}, secrets=SECRETS, message=a_message())
        assert "127.0.0.1" not in names.dialled, url
        if "flips" not in url:
            assert isinstance(refused.value, Permanent), url
    time.sleep(0.1)
    assert traps.connections == []
    assert set(names.dialled) <= {PUBLIC}


def test_the_traps_do_catch(traps):
    for address in traps.addresses:
        socket.create_connection((address, traps.port)).close()
    time.sleep(0.2)
    assert sorted(traps.connections) == sorted(traps.addresses)


@pytest.mark.parametrize("listed", ["127.0.0.0/8", "127.0.0.1"])
def test_an_exception_is_reached(listed, http, settings):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = [listed]
    send("webhook", config={"url": http.url}, secrets=SECRETS, message=a_message())
    assert len(http.taken) == 1


def test_a_name_that_is_listed_is_reached_but_never_a_metadata_address(http, settings, names):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = ["localhost", "metadata.test", "mapped.test"]
    send("webhook", config={"url": f"http://localhost:{http.port}/"}, secrets=SECRETS, message=a_message())
    assert len(http.taken) == 1
    for host in ("metadata.test", "mapped.test"):
        with pytest.raises(Permanent, match="not a public address"):
            send("webhook", config={"url": f"http://{host}:{http.port}/"}, secrets=SECRETS, message=a_message())


@pytest.mark.parametrize(
    "address",
    ["10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "100.100.100.200", "169.254.169.254", "192.0.0.192",
     "0.1.2.3", "168.63.129.16", "198.18.0.1", "203.0.113.5", "224.0.0.1", "240.0.0.1", "255.255.255.255", "fc00::1",
     "fd00:ec2::254", "fe80::1", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "2002:808:808::1",
     "64:ff9b::808:808", "::ffff:8.8.8.8",
     "::8.8.8.8", "100::1", "64:ff9b:1::1", "3fff::1", "5f00::1"],
)  # fmt: skip
def test_addresses_that_are_not_public_are_refused(address):
    def never(*_):
        raise AssertionError("connected")

    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = Client(resolve=lambda host, port: [(family, (address, port))], connect=never)
    with pytest.raises(Refused):
        made.send("POST", read_url("https://receiver.test/"), headers={}, body=b"")


def test_plain_http_and_ports_of_other_services_are_refused_outside():
    made = Client(resolve=lambda host, port: [(socket.AF_INET, (PUBLIC, port))], connect=lambda *_: pytest.fail())
    for url in ("http://receiver.test/", "https://receiver.test:25/", "https://receiver.test:22/"):
        with pytest.raises(Refused):
            made.send("POST", read_url(url), headers={}, body=b"")


def test_a_redirect_into_a_trap_is_not_followed(traps, http, settings):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = ["127.0.0.0/8"]
    for status in (301, 302, 303, 307, 308):
        http.answer((status, {"Location": f"http://127.0.0.1:{traps.port}/"}, b""))
        with pytest.raises(Permanent, match="Redirects are not followed"):
            send("webhook", config={"url": http.url}, secrets=SECRETS, message=a_message())
    time.sleep(0.1)
    assert traps.connections == []


def test_a_proxy_of_the_environment_is_not_used(traps, http, settings, monkeypatch):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = ["127.0.0.0/8"]
    for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{traps.port}")
    send("webhook", config={"url": http.url}, secrets=SECRETS, message=a_message())
    assert len(http.taken) == 1 and traps.connections == []


def test_tls_is_checked_against_the_name(authority, settings):
    def to(port, context):
        connect = lambda family, address, s: socket.create_connection(("127.0.0.1", port), s)  # noqa: E731
        return Client(
            resolve=lambda host, port: [(socket.AF_INET, (PUBLIC, port))], connect=connect, ssl_context=context
        )

    with receiver(authority.server("receiver.test")) as good, receiver(authority.server("other.test")) as wrong:
        target = read_url("https://receiver.test/hook?a=1")
        answer = to(good.port, authority.client()).send("POST", target, headers={"X-A": "b"}, body=b"{}")
        assert answer.status == 200
        assert good.taken[0].headers["host"] == "receiver.test" and good.taken[0].path == "/hook?a=1"
        for port, context in ((wrong.port, authority.client()), (good.port, None)):
            with pytest.raises(Unreachable, match="certificate"):
                to(port, context).send("POST", target, headers={}, body=b"{}")


def _drip(connection):
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def _endless(connection):
    connection.recv(1000)
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def _deaf(connection):
    time.sleep(3)


def _here(port, deadline_s=0.4):
    target = read_url(f"http://127.0.0.1:{port}/")
    return Client(Exceptions.of(["127.0.0.1"]), deadline_s=deadline_s).send("POST", target, headers={}, body=b"x" * 500)


@pytest.mark.parametrize("behave", [_drip, _deaf])
def test_a_receiver_that_drips_or_says_nothing_ends_in_time(behave):
    with raw_server(behave) as port:
        began = time.monotonic()
        with pytest.raises(Unreachable, match="No answer within"):
            _here(port)
        assert time.monotonic() - began < 1.5


def test_an_endless_answer_is_read_to_a_bound():
    with raw_server(_endless) as port:
        assert len(_here(port, deadline_s=5).body) == 65_536


def test_what_is_no_http_is_said_to_be_none():
    mail_server = raw_server(lambda c: (c.recv(1000), c.sendall(b"220 mail ESMTP\r\n")))
    with mail_server as port, pytest.raises(Unreachable, match="does not speak HTTP"):
        _here(port, deadline_s=3)


def test_a_resolver_that_hangs_ends_in_time():
    made = Client(resolve=lambda host, port: time.sleep(3) or [], deadline_s=0.3)
    began = time.monotonic()
    with pytest.raises(Unreachable):
        made.send("POST", read_url("https://slow.test/"), headers={}, body=b"")
    assert time.monotonic() - began < 1.5


def test_a_second_address_is_tried(http):
    tried = []

    def connect(family, address, timeout_s):
        tried.append(address[0])
        if address[0] == "1.1.1.1":
            raise ConnectionRefusedError
        return socket.create_connection(("127.0.0.1", http.port), timeout_s)

    opened = Exceptions(hosts=frozenset({"receiver.test"}))
    both = [(socket.AF_INET, (address, 80)) for address in ("1.1.1.1", "8.8.8.8")]
    made = Client(opened, resolve=lambda host, port: both, connect=connect)
    assert made.send("POST", read_url("http://receiver.test/"), headers={}, body=b"").status == 200
    assert tried == ["1.1.1.1", "8.8.8.8"]


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://127.0.0.1/", "no public address"), ("https://localhost/", "no public address"),
        ("https://[::1]/", "no public address"), ("http://receiver.test/", "must begin with https"),
        ("https://a:b@receiver.test/", "user name"), ("ftp://receiver.test/", "must begin with https"),
        ("https://0x7f.1/", "four decimal numbers"), ("https://a b/", "blank"), ("https://-a/", "host name"),
        ("", "needed"),
    ],
)  # fmt: skip
def test_a_form_says_what_is_wrong_with_a_url(url, words):
    with pytest.raises(InvalidChannel) as refused:
        validate("webhook", config={"url": url}, secrets=SECRETS)
    assert words in refused.value.errors["url"]


def test_urls_are_read_in_one_way():
    assert read_url("HTTPS://Receiver.Test.:8443/a?b").authority == "receiver.test:8443"
    assert read_url("https://bücher.example/").host == "xn--bcher-kva.example"
    assert read_url("https://[2606:4700::1111]/").authority == "[2606:4700::1111]"
    for url in (
        "https://a..b/",
        "https://a:0/",
        "https://a:99999/",
        "https:///x",
        "https://a/ü",
        "https://" + "a" * 3000,
    ):
        with pytest.raises(BadUrl):
            read_url(url)
