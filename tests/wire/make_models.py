"""Writes the SavedModels of the contract tests: ``python make_models.py FOLDER``.

A process of its own, because TensorFlow takes its time and its warnings would fail the tests.
"""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf

v1 = tf.compat.v1

_NUMBERS = ("float", "double", "half", "bfloat16", "int8", "int16", "int32", "int64")
_DTYPES = (*_NUMBERS, "uint8", "uint16", "uint32", "uint64", "bool", "string")
_SMALLEST_QUEUE = """
max_batch_size { value: 2 }
max_enqueued_batches { value: 1 }
"""


def _placeholder(name: str, dtype: str, shape: list[int | None]) -> tf.Tensor:
    return v1.placeholder(tf.dtypes.as_dtype({"float": "float32", "double": "float64"}.get(dtype, dtype)), shape, name)


def write_echo(path: str) -> None:
    """Signatures whose outputs are their inputs: one per type, of any number of scalars, and three of other forms."""
    signatures = {dtype: {"x": (dtype, [None])} for dtype in _DTYPES}
    signatures["serving_default"] = signatures["float"]
    signatures["several"] = {"a": ("float", [None, 2]), "b": ("int64", [None]), "c": ("string", [None])}
    signatures["columns"] = {"a": ("float", [None]), "b": ("int64", [None])}
    signatures["one"] = {"x": ("float", [])}
    info, build = v1.saved_model.build_tensor_info, v1.saved_model.build_signature_def
    with tf.Graph().as_default(), v1.Session() as session:
        built = {}
        for name, inputs in signatures.items():
            tensors = {alias: _placeholder(f"{name}_{alias}", *spec) for alias, spec in inputs.items()}
            built[name] = build(
                {alias: info(tensor) for alias, tensor in tensors.items()},
                {alias: info(tf.identity(tensor)) for alias, tensor in tensors.items()},
                "tensorflow/serving/predict",
            )
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], built)
        builder.save()


def main(folder: Path) -> None:
    """Write all models: two versions of one, a second to be slow, and a third that batches by twos."""
    write_echo(str(folder / "echo" / "1"))
    for copy in ("echo/2", "slow/1", "queue/1"):
        shutil.copytree(folder / "echo" / "1", folder / copy)
    (folder / "queue" / "1" / "batching_params.pbtxt").write_text(_SMALLEST_QUEUE)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
