"""No committed file names a package registry, a mirror, or a folder of one machine.

Lock files written by package tools carry such addresses unless told otherwise; a checkout must install from wherever
its owner installs from. The patterns are spelled so that they do not match themselves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from .tree import Source, texts

FORBIDDEN = {
    "a Python package registry": r"(?:test\.)?pyp[i]\.(?:org|python\.org)|pythonhoste[d]\.org|https?://\S+/simpl[e](?=/?(?:\s|[\"']|$))",
    "a JavaScript package registry": r"registr[y]\.(?:npmjs|yarnpkg|npmmirror)\.|[\"']resolve[d][\"']\s*:",
    "a Debian mirror": r"(?:de[b]|security|ft[p]\.\w+)\.debian\.org",
    "an Ubuntu mirror": r"(?:archiv[e]|security|ports)\.ubuntu\.com",
    "a registry setting": r"--(?:extra-)?index-ur[l]|--find-link[s]|(?:PIP|UV)_(?:EXTRA_)?INDEX_UR[L]",
    "a lock file's source": r"registr[y]\s*=\s*\"",
    "a local file": r"fil[e]:///(?:opt|root|home|mnt|srv|usr|var|tmp|work|Users)/",
    "somebody's home": r"(?<![\w./}])/(?:hom[e]|User[s])/[a-z][\w-]*/|(?<![\w./}])/roo[t]/[\w.]",
    "a folder of one machine": r"(?<![\w./}~])/(?:wor[k]|workspac[e])/[a-z]",
}
_ANY = re.compile("|".join(f"(?P<g{number}>{each})" for number, each in enumerate(FORBIDDEN.values())))
_NAMES = tuple(FORBIDDEN)


def addresses(source: Source) -> Iterator[str]:
    """Every address in a text that only this machine or this network knows, as `path:line: what`."""
    for found in _ANY.finditer(source.text):
        line = source.text.count("\n", 0, found.start()) + 1
        yield f"{source.name}:{line}: {_NAMES[int((found.lastgroup or 'g0')[1:])]}: {found[0]}"


def test_no_committed_file_names_a_registry_or_a_machine() -> None:
    assert [said for source in texts() for said in addresses(source)] == []


@pytest.mark.parametrize(
    "text",
    [
        "https://files.python" + "hosted.org/packages/x.whl",
        "url = https://py" + "pi.org/x",
        "https://mirror.example/sim" + 'ple"',
        '"resolved' + '": "https://somewhere/x.tgz"',
        "https://registry." + "npmjs.org/x",
        "http://deb." + "debian.org/debian",
        "source = { registry" + ' = "https://x" }',
        "UV_INDEX" + "_URL=https://x",
        "fil" + "e:///opt/x",
        "see /ro" + "ot/.cache",
        "in /ho" + "me/somebody/code",
        "cd /wo" + "rk/main",
    ],
)
def test_an_address_is_found_with_its_place(text: str) -> None:
    [said] = addresses(Source("a.txt", f"first\n{text}\n"))
    assert said.startswith("a.txt:2: ")


@pytest.mark.parametrize(
    "text",
    ["https://api.openai.com/v1", "the path /root", "~/work/x", "{base}/home/x/y", "a.b/home/me/x", "GET /v1/work/x"],
)
def test_ordinary_text_is_let_through(text: str) -> None:
    assert list(addresses(Source("a.txt", text))) == []
