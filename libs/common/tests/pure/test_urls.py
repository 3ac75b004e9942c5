"""Which URLs that people give may be called: a table of the tricks by which a private address passes for a public one."""

from __future__ import annotations

import ipaddress

import pytest
from common.urls import ForbiddenUrl, UrlRules, is_public, rules_of
from hypothesis import given
from hypothesis import strategies as st

NOBODY_ALLOWED = UrlRules()

PRIVATE_ADDRESSES = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.254", "127.0.0.1", "127.1.2.3",
    "169.254.0.1", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.192", "192.0.2.1",
    "192.88.99.1", "192.168.0.1", "192.168.255.255", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.7",
    "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::7f00:1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::10.0.0.1", "100::1", "2001::1", "2001:0:7f00:1::",
    "2001:10::1", "2001:db8::1", "2002:7f00:1::", "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00::1",
    "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "fec0::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip
PUBLIC_ADDRESSES = [
    "1.1.1.1", "8.8.8.8", "93.184.215.14", "100.63.255.255", "100.128.0.1", "172.15.255.255", "172.32.0.1",
    "192.167.255.255", "198.17.255.255", "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001:82f::200e",
    "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip

# Each hides a private host, or is read as another host by some reader.
FORBIDDEN_URLS = [
    # private addresses, plainly
    *(f"https://[{each}]/v1" if ":" in each else f"https://{each}/v1" for each in PRIVATE_ADDRESSES if "%" not in each),
    # the same numbers, spelt as some readers take them
    "https://2130706433/", "https://017700000001/", "https://0x7f000001/", "https://0x7f.0.0.1/", "https://0x7f.1/",
    "https://0177.0.0.1/", "https://127.1/", "https://127.0.1/", "https://0/", "https://00.0.0.0/",
    "https://0x0/", "https://127.0.0.01/", "https://127.0.0.0x1/", "https://10.0.0.1.:443/", "https://2852039166/",
    "https://169.254.43518/", "https://0251.0376.0251.0376/", "https://0xa9.0xfe.0xa9.0xfe/", "https://1.1.1.256/",
    "https://[::ffff:7f00:1]/", "https://[0:0:0:0:0:ffff:127.0.0.1]/", "https://[fe80::1%25eth0]/",
    "https://[::1%25lo]/", "https://[::]:8443/", "https://[127.0.0.1]/", "https://[localhost]/", "https://[::1",
    "https://::1/", "https://[v1.fe80]/",
    # names that never are public
    "https://localhost/", "https://LOCALHOST/", "https://localhost./", "https://api.localhost/", "https://localhost:8443/",
    "https://localhost.localdomain/", "https://metadata.google.internal/", "https://metadata/", "https://kubernetes/",
    "https://kubernetes.default.svc/", "https://keyvault.tollgate.svc.cluster.local/", "https://router.lan/",
    "https://nas.home.arpa/", "https://intranet.corp/", "https://redis/", "https://printer.local/",
    "https://1.0.0.127.in-addr.arpa/", "https://hidden.onion/", "https://host.docker.internal/",
    # not https, or not a URL
    "http://api.example.com/", "HTTP://api.example.com/", "ftp://api.example.com/", "file:///etc/passwd",
    "file://localhost/etc",
    "gopher://127.0.0.1:6379/_FLUSHALL", "dict://127.0.0.1:11211/", "ldap://127.0.0.1/", "javascript:alert(1)", "data:,x",
    "unix:///var/run/docker.sock", "//api.example.com/", "api.example.com", "", "https://", "https:///v1",
    "https:api.example.com",
    # two hosts in one text
    "https://user@api.example.com/", "https://user:pass@api.example.com/", "https://api.example.com@127.0.0.1/",
    "https://127.0.0.1@api.example.com/", "https://api.example.com%40127.0.0.1/", "https://api.example.com\\@127.0.0.1/",
    "https://127.0.0.1\\.api.example.com/", "https://127.0.0.1#.api.example.com/", "https://127.0.0.1%23.api.example.com/",
    "https://api.example.com#@127.0.0.1/", "https://127.0.0.1?.api.example.com/", "https://api.example.com/?to=127.0.0.1",
    "https://127.0.0.1%00.api.example.com/", "https://127.0.0.1\x00.api.example.com/", "https://127.0.0.1%2f@api.example.com",
    "https://127.0.0.1;api.example.com/", "https://127.0.0.1,api.example.com/", "https:/\\api.example.com/",
    # readers that disagree about blanks and letters
    "https://127.0.0.1\t.api.example.com/", "https://api.example.com\n/", " https://api.example.com/",
    "https://api.exa mple.com/",
    "https://api.example.com/\r\nhost: x", "https://ⓛocalhost/", "https://１２７.0.0.1/", "https://127。0。0。1/",
    "https://loc\u00adalhost/", "https://äpi.example.com/", "https://loca\u200blhost/", "https://%6c%6f%63alhost/",
    # ports of other services, and ports that are none
    "https://api.example.com:22/", "https://api.example.com:25/", "https://api.example.com:80/", "https://api.example.com:0/",
    "https://api.example.com:99999/", "https://api.example.com:-1/", "https://api.example.com:port/", "https://api.example.com:/",
    "https://api.example.com:0443/", "https://api.example.com:443:443/", "https://api.example.com:+443/",
    # names that are none
    "https://-api.example.com/", "https://api..example.com/", "https://.example.com/", "https://api.example.com./",
    "https://" + "a" * 64 + ".example.com/", "https://api.example.com/" + "a" * 2048, "https://*.example.com/",
]  # fmt: skip


def test_the_table_is_long_enough() -> None:
    assert len(set(FORBIDDEN_URLS)) == len(FORBIDDEN_URLS) >= 120


@pytest.mark.parametrize("url", FORBIDDEN_URLS)
def test_a_trick_is_refused_without_being_repeated(url: str) -> None:
    with pytest.raises(ForbiddenUrl) as refused:
        NOBODY_ALLOWED.check(url)
    assert len(url) < 12 or url not in refused.value.message


@pytest.mark.parametrize(
    ("url", "canonical"),
    [
        ("https://api.example.com", "https://api.example.com"),
        ("HTTPS://API.Example.com:443/V1/", "https://api.example.com/V1/"),
        ("https://api.example.com:8443/v1", "https://api.example.com:8443/v1"),
        ("https://8.8.8.8/v1", "https://8.8.8.8/v1"),
        ("https://[2606:4700:4700::1111]:8443/", "https://[2606:4700:4700::1111]:8443/"),
        ("https://xn--pi-uia.example.com/", "https://xn--pi-uia.example.com/"),
        ("https://my_resource.openai.azure.com/openai/v1", "https://my_resource.openai.azure.com/openai/v1"),
        ("https://api.localhost.example.com/", "https://api.localhost.example.com/"),
    ],
)
def test_a_public_url_passes_in_one_spelling(url: str, canonical: str) -> None:
    assert NOBODY_ALLOWED.check(url).url == canonical


def test_a_query_passes_only_where_one_is_expected() -> None:
    assert NOBODY_ALLOWED.check("https://hooks.example.com/a?b=c", may_have_query=True).path == "/a?b=c"
    with pytest.raises(ForbiddenUrl):
        NOBODY_ALLOWED.check("https://hooks.example.com/a?b=c#d", may_have_query=True)


def test_an_operator_may_allow_hosts_by_name() -> None:
    rules = rules_of("ollama:11434, 10.0.0.7", "[::1]:8080")
    for url in ("http://ollama:11434/v1", "http://10.0.0.7/", "https://10.0.0.7:22/", "http://[::1]:8080/x"):
        assert rules.check(url).url == url
    for url in ("http://ollama/", "http://ollama:22/", "http://10.0.0.8/", "http://[::1]/", "http://x@10.0.0.7/"):
        with pytest.raises(ForbiddenUrl):
            rules.check(url)
    assert rules_of("") == NOBODY_ALLOWED


@pytest.mark.parametrize("address", PRIVATE_ADDRESSES)
def test_a_private_address_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC_ADDRESSES)
def test_a_public_address_is(address: str) -> None:
    assert is_public(address)


@given(st.ip_addresses(v=4))
def test_an_address_is_judged_alike_however_it_is_wrapped(address: ipaddress.IPv4Address) -> None:
    wrapped = (f"::ffff:{address}", f"64:ff9b::{address}")
    assert {is_public(each) for each in wrapped} == {is_public(str(address))}
    if is_public(str(address)):
        assert address.is_global


@given(st.ip_addresses(v=6))
def test_no_address_is_public_that_python_takes_for_private(address: ipaddress.IPv6Address) -> None:
    if is_public(str(address)) and address not in ipaddress.IPv6Network("64:ff9b::/96"):
        assert address.is_global


@given(st.text(max_size=40), st.sampled_from(["", "https://", "https://api.example.com"]))
def test_whatever_is_given_is_refused_or_has_one_host(text: str, beginning: str) -> None:
    try:
        target = NOBODY_ALLOWED.check(beginning + text)
    except ForbiddenUrl:
        return
    assert NOBODY_ALLOWED.check(target.url) == target
    assert target.scheme == "https"
