"""What tests of all services share: they call nobody outside this machine, so they trust nobody there.

Each HTTP client and each started process reads all certificates that it is to trust, which takes as long as many a test;
of one certificate, which no server has, it is done at once.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from common.testing.certificates import write_certificate


@pytest.fixture(scope="session", autouse=True)
def _nobody_outside_is_trusted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    path = write_certificate(tmp_path_factory.mktemp("trusted") / "nobody.pem", ["nobody.invalid"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SSL_CERT_FILE", str(path))
        patch.delenv("SSL_CERT_DIR", raising=False)
        yield
