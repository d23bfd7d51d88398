"""The one door to TensorFlow Serving's generated messages, without the TensorFlow runtime behind it.

``import tensorflow_serving.apis...`` runs ``import tensorflow``: seconds of start-up and hundreds of megabytes in every
worker, for messages that need nothing but protobuf. So an empty module stands in for the package ``tensorflow`` while
the generated modules are imported, and is taken away afterwards, together with everything imported through it: a later,
real ``import tensorflow`` in the same process starts from a clean table. Message classes are the same in both, because
protobuf makes one class per message descriptor and the descriptors live in one pool.

Where TensorFlow was imported before, nothing stands in for anything.

Import this module, not ``tensorflow_serving`` itself; it must not import TensorFlow.
"""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType


@contextmanager
def _standing_in_for_tensorflow() -> Iterator[None]:
    """Let ``tensorflow.core.*_pb2`` be imported without running ``tensorflow/__init__.py``.

    Raises ModuleNotFoundError where no ``tensorflow`` folder is installed.
    """
    if "tensorflow" in sys.modules:
        yield
        return
    spec = importlib.util.find_spec("tensorflow")  # finds the folder, runs nothing
    if spec is None or spec.submodule_search_locations is None:
        msg = "the generated messages need the folder `tensorflow`; install tensorflow-serving-api"
        raise ModuleNotFoundError(msg, name="tensorflow")
    standin = ModuleType("tensorflow")
    standin.__path__ = list(spec.submodule_search_locations)
    sys.modules["tensorflow"] = standin
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name == "tensorflow" or name.startswith("tensorflow.")]:
            del sys.modules[name]


with _standing_in_for_tensorflow():
    from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2, types_pb2
    from tensorflow.core.protobuf import meta_graph_pb2, saved_model_pb2
    from tensorflow_serving.apis import (
        classification_pb2,
        get_model_metadata_pb2,
        get_model_status_pb2,
        inference_pb2,
        input_pb2,
        model_management_pb2,
        model_pb2,
        predict_pb2,
        prediction_log_pb2,
        regression_pb2,
    )
    from tensorflow_serving.config import model_server_config_pb2

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
PREDICT = f"/{PREDICTION_SERVICE}/Predict"
GET_MODEL_METADATA = f"/{PREDICTION_SERVICE}/GetModelMetadata"
GET_MODEL_STATUS = f"/{MODEL_SERVICE}/GetModelStatus"
HANDLE_RELOAD_CONFIG = f"/{MODEL_SERVICE}/HandleReloadConfigRequest"

__all__ = [
    "GET_MODEL_METADATA",
    "GET_MODEL_STATUS",
    "HANDLE_RELOAD_CONFIG",
    "MODEL_SERVICE",
    "PREDICT",
    "PREDICTION_SERVICE",
    "classification_pb2",
    "get_model_metadata_pb2",
    "get_model_status_pb2",
    "inference_pb2",
    "input_pb2",
    "meta_graph_pb2",
    "model_management_pb2",
    "model_pb2",
    "model_server_config_pb2",
    "predict_pb2",
    "prediction_log_pb2",
    "regression_pb2",
    "saved_model_pb2",
    "tensor_pb2",
    "tensor_shape_pb2",
    "types_pb2",
]
