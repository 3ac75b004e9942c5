"""Commands that are packed in parts are the same commands."""

import hiredis
from gateway.limits.packing import joined, packed
from hypothesis import given
from hypothesis import strategies as st

ARGUMENTS = st.lists(st.binary(max_size=40) | st.text(max_size=20) | st.integers(-(2**63), 2**63 - 1), min_size=1)


@given(st.lists(ARGUMENTS, min_size=1, max_size=5))
def test_parts_make_the_command_that_is_packed_whole(parts: list[list[bytes | str | int]]) -> None:
    whole = [argument for part in parts for argument in part]
    assert joined(*[packed(*part) for part in parts]) == hiredis.pack_command(tuple(whole))


def test_a_server_reads_as_many_arguments_as_the_command_says() -> None:
    reader = hiredis.Reader()
    reader.feed(joined(packed("EVALSHA", "abc", 0), packed(), packed("a\r\nb", 7)))
    assert reader.gets() == [b"EVALSHA", b"abc", b"0", b"a\r\nb", b"7"]
