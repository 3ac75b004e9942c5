"""`python -m tollgate`: how the runner starts itself in the background."""

from __future__ import annotations

from tollgate.main import app

app()
