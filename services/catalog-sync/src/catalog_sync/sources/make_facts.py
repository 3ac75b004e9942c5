"""Makes `facts.json` from LiteLLM's public price file: `python -m catalog_sync.sources.make_facts FILE`.

Takes facts only (lengths, capabilities, announced ends), no prices, of the providers that we list; one line a model, so
that a newer file shows as a readable difference. Run it when a release is prepared, with a file fetched by hand.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from pathlib import Path

from catalog_sync.domain.listing import ListedModel
from catalog_sync.domain.provider_types import is_known
from catalog_sync.sources.facts import FILE
from catalog_sync.sources.litellm import parse


def table_of(models: Iterable[ListedModel]) -> str:
    """The table as text: `{type: {name: [context, longest output, capabilities, end]}}`."""
    rows: dict[str, dict[str, str]] = {}
    for one in models:
        facts = one.facts
        if is_known(facts.provider_type):
            end = one.ends_at.date().isoformat() if one.ends_at else None
            row = [facts.context_length, facts.max_output_tokens, " ".join(facts.capabilities), end]
            rows.setdefault(facts.provider_type, {})[facts.name] = json.dumps(row)
    types = [
        f"{json.dumps(kind)}: {{\n" + ",\n".join(f"{json.dumps(name)}: {own[name]}" for name in sorted(own)) + "\n}"
        for kind, own in sorted(rows.items())
    ]
    return "{\n" + ",\n".join(types) + "\n}\n"


def main(arguments: list[str]) -> int:
    """Write the table beside this file; 2 without the one argument."""
    if len(arguments) != 1:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    table = table_of(parse(Path(arguments[0]).read_bytes()))
    Path(__file__).with_name(FILE).write_text(table)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
