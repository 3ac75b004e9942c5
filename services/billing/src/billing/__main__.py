"""`python -m billing` runs the service; `python -m billing rebuild` rebuilds its books from the stream."""

import sys

from billing.main import run, run_rebuild

if sys.argv[1:] == ["rebuild"]:
    run_rebuild()
else:
    run()
