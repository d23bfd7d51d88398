"""The generated messages come without the TensorFlow runtime, and do not stand in its way."""

from __future__ import annotations

import json
import subprocess
import sys

_MEASURE = """
import json, re, sys, time
from pathlib import Path
before = time.perf_counter()
from tfs_locust.tfserving import protos
after = time.perf_counter()
request = protos.predict_pb2.PredictRequest(model_spec=protos.model_pb2.ModelSpec(name="m"))
request.inputs["x"].dtype = protos.types_pb2.DT_FLOAT
print(json.dumps({
    "seconds": after - before,
    # ru_maxrss would begin with the size of the process that forked this one
    "megabytes": int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1]) / 1024,
    "tensorflow": [name for name in sys.modules if name.split(".")[0] == "tensorflow"],
    "bytes": request.SerializeToString().hex(),
}))
"""

_BOTH = """
import sys
if sys.argv[1] == "ours first":
    from tfs_locust.tfserving import protos
    import tensorflow as tf
else:
    import tensorflow as tf
    from tfs_locust.tfserving import protos
from tensorflow_serving.apis import predict_pb2
assert tf.constant([1, 2]).numpy().sum() == 3
assert predict_pb2.PredictRequest is protos.predict_pb2.PredictRequest
request = protos.predict_pb2.PredictRequest()
request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
assert type(tf.make_tensor_proto([1.0])) is protos.tensor_pb2.TensorProto
print(tf.make_ndarray(request.inputs["x"]).tolist())
"""


def _run(code: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_messages_load_under_one_second_and_80_megabytes_in_a_fresh_process() -> None:
    """The stubs cost under 1 s and under 80 MB, and leave no module named tensorflow behind."""
    seen = json.loads(_run(_MEASURE))
    assert seen["seconds"] < 1.0
    assert seen["megabytes"] < 80
    assert seen["tensorflow"] == []
    assert bytes.fromhex(seen["bytes"]) == b"\n\x03\n\x01m\x12\x07\n\x01x\x12\x02\x08\x01"


def test_a_later_import_of_tensorflow_works() -> None:
    """After our messages, the real TensorFlow imports, runs, and shares their classes."""
    assert _run(_BOTH, "ours first").strip() == "[1.0]"


def test_an_earlier_import_of_tensorflow_works() -> None:
    """After the real TensorFlow, our messages are its own."""
    assert _run(_BOTH, "tensorflow first").strip() == "[1.0]"
