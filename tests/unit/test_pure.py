"""The measuring core and the judge stand alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

FORBIDDEN = ("locust", "gevent", "grpc", "google.protobuf", "tensorflow", "numpy")


@pytest.mark.parametrize("package", ["tfs_locust.measure", "tfs_locust.judge"])
def test_imports_nothing_but_the_standard_library(package: str) -> None:
    """A run can be measured and judged where neither Locust nor gRPC is."""
    code = f"""
import importlib, pkgutil, sys
package = importlib.import_module({package!r})
for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
    importlib.import_module(module.name)
print([name for name in {FORBIDDEN!r} if name in sys.modules])
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert result.stdout == "[]\n"
