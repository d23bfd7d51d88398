"""The embedded server with made-up models, which count their calls and behave as planted.

``planted_server.py COUNTS FLAGS``: each version in the models' folders is half_plus_two, without TensorFlow. COUNTS is
a file in which the calls of each version are, a moment later: ``{"model/version": calls}``. The environment variable
PLANTED says how versions behave: ``{"model/version": {"delay_ms": 2, "first_ms": 50, "fails": 0.1}}``; of ``fails`` as
many calls fail, evenly spread, and the first takes ``first_ms`` more.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tfs_locust.embedded import server
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving.protos import meta_graph_pb2, types_pb2

COUNTS = Path(sys.argv[1])
PLANTED = json.loads(os.environ.get("PLANTED", "{}"))
_WRITTEN_EVERY_S = 0.05


class Loader:
    """In the place of the one that asks TensorFlow."""

    def __init__(self, *_: Any) -> None:
        self._counts = Counter[str]()
        self._lock = threading.Lock()
        threading.Thread(target=self._write, daemon=True).start()

    def __call__(self, name: str, version: int, _path: str) -> Servable:
        signature = meta_graph_pb2.SignatureDef(method_name="tensorflow/serving/predict")
        for tensors, alias in ((signature.inputs, "x"), (signature.outputs, "y")):
            tensors[alias].name, tensors[alias].dtype = f"{alias}:0", types_pb2.DT_FLOAT
            tensors[alias].tensor_shape.dim.add(size=-1)
        own = f"{name}/{version}"
        planted = PLANTED.get(own, {})

        def run(feeds: Mapping[str, Any], fetches: Sequence[str], _timeout_s: float | None) -> list[Any]:
            with self._lock:
                self._counts[own] += 1
                number = self._counts[own]
            time.sleep((planted.get("delay_ms", 0) + (planted.get("first_ms", 0) if number == 1 else 0)) / 1000)
            fails = planted.get("fails", 0)
            if int(number * fails) > int((number - 1) * fails):
                raise ServingError(Code.UNAVAILABLE, "planted")
            return [feeds["x:0"] / np.float32(2) + np.float32(2) for _ in fetches]

        return Servable(name, version, {"serving_default": signature}, run, lambda: None)

    def stop(self) -> None:
        """There is nothing to end."""

    def _write(self) -> None:
        written = ""
        while True:
            with self._lock:
                text = json.dumps(self._counts)
            if text != written:
                beside = COUNTS.with_suffix(".new")
                beside.write_text(text)
                beside.rename(COUNTS)
                written = text
            time.sleep(_WRITTEN_EVERY_S)


if __name__ == "__main__":
    server.TensorFlow = lambda **_: None  # type: ignore[assignment,misc]
    server.VersionLoader = Loader  # type: ignore[assignment,misc]
    sys.exit(server.main(sys.argv[2:]))
