"""How a batch goes to the database: column by column, each as one JSON array that the statement takes apart again.

Thousands of rows a second are written, and what that costs is mostly asyncpg's work on arrays, element by element; JSON
is written by msgspec in a tenth of the time, and costs Postgres no more to read. Text comes out as it went in; of the
rest each statement says what it is (`::numeric`), and that is exact, since decimals, ids and instants go as text.
"""

from __future__ import annotations

from collections.abc import Collection

import msgspec

_encode = msgspec.json.Encoder(decimal_format="string").encode


def column(values: Collection[object]) -> str:
    """The values of one column, for `json_array_elements_text($n::text::json)` (or `jsonb_array_elements`, for JSON)."""
    return _encode(values).decode()
