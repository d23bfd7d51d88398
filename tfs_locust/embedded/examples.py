"""Classify, Regress and MultiInference on one servable: tf.Examples in, labels, scores and values out.

Source: tensorflow_serving/servables/tensorflow/classifier.cc, regressor.cc, multi_inference.cc and util.cc. The
Examples are passed to the graph as they came, serialized; this module never looks into them.
"""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from google.protobuf import text_format

from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.predict import DEFAULT_SIGNATURE, fill_model_spec
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.embedded.tensor import Array, data_type_name, shape_string
from tfs_locust.tfserving import protos

CLASSIFY_METHOD = "tensorflow/serving/classify"
REGRESS_METHOD = "tensorflow/serving/regress"


def classify(
    servable: Servable,
    request: protos.classification_pb2.ClassificationRequest,
    timeout_s: float | None,
    metrics: Metrics,
) -> protos.classification_pb2.ClassificationResponse:
    """Run a classification signature (``inputs`` -> ``classes`` and/or ``scores``) on the request's Examples."""
    signature = _signature(servable, request.model_spec)
    feed, fetches = _classification_tensors(signature)
    examples = _serialized_examples(request.input)
    started = time.perf_counter()
    outputs = servable.run({feed: examples}, fetches, timeout_s)
    metrics.observe_runtime_latency(request.model_spec.name, "Classify", (time.perf_counter() - started) * 1e6)
    response = protos.classification_pb2.ClassificationResponse()
    fill_model_spec(response.model_spec, request.model_spec, servable)
    _fill_classification(response.result, signature, len(examples), dict(zip(fetches, outputs, strict=True)))
    return response


def regress(
    servable: Servable,
    request: protos.regression_pb2.RegressionRequest,
    timeout_s: float | None,
    metrics: Metrics,
) -> protos.regression_pb2.RegressionResponse:
    """Run a regression signature (``inputs`` -> ``outputs``) on the request's Examples."""
    signature = _signature(servable, request.model_spec)
    feed, fetch = _regression_tensors(signature)
    examples = _serialized_examples(request.input)
    started = time.perf_counter()
    outputs = servable.run({feed: examples}, [fetch], timeout_s)
    metrics.observe_runtime_latency(request.model_spec.name, "Regress", (time.perf_counter() - started) * 1e6)
    response = protos.regression_pb2.RegressionResponse()
    fill_model_spec(response.model_spec, request.model_spec, servable)
    _fill_regression(response.result, signature, len(examples), {fetch: outputs[0]})
    return response


def multi_inference(
    servable: Servable,
    request: protos.inference_pb2.MultiInferenceRequest,
    timeout_s: float | None,
    metrics: Metrics,
) -> protos.inference_pb2.MultiInferenceResponse:
    """Run several classification and regression signatures of one model on the same Examples, in one execution."""
    fetches: set[str] = set()
    feeds: set[str] = set()
    signatures: dict[str, protos.meta_graph_pb2.SignatureDef] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise _invalid("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise _invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT_SIGNATURE
        if name in signatures:
            raise _invalid(f"Duplicate evaluation of signature: {name}")
        if name not in servable.signatures:
            raise _invalid(f"Requested signature not found in model graph: {name}")
        signature = signatures[name] = servable.signatures[name]
        if task.method_name == CLASSIFY_METHOD:
            feed, outputs = _classification_tensors(signature)
            fetches.update(outputs)
        elif task.method_name == REGRESS_METHOD:
            feed, output = _regression_tensors(signature)
            fetches.add(output)
        else:
            raise ServingError(Code.UNIMPLEMENTED, f"Unsupported signature method_name: {task.method_name}")
        feeds.add(feed)
    examples = _serialized_examples(request.input)
    names = sorted(fetches)
    arrays = servable.run(dict.fromkeys(sorted(feeds), examples), names, timeout_s)
    metrics.observe_request_examples(request.tasks[0].model_spec.name, len(examples))
    by_name = dict(zip(names, arrays, strict=True))
    response = protos.inference_pb2.MultiInferenceResponse()
    for task, signature in zip(request.tasks, signatures.values(), strict=True):
        result = response.results.add()
        if task.method_name == CLASSIFY_METHOD:
            _fill_classification(result.classification_result, signature, len(examples), by_name)
        else:
            _fill_regression(result.regression_result, signature, len(examples), by_name)
        fill_model_spec(result.model_spec, task.model_spec, servable)
    return response


def _invalid(message: str) -> ServingError:
    return ServingError(Code.INVALID_ARGUMENT, message)


def _signature(servable: Servable, spec: protos.model_pb2.ModelSpec) -> protos.meta_graph_pb2.SignatureDef:
    name = spec.signature_name or DEFAULT_SIGNATURE
    signature = servable.signatures.get(name)
    if signature is None:
        raise _invalid(f"No signature was found with the name: {name}")
    return signature


def _serialized_examples(given: protos.input_pb2.Input) -> Array:
    """A vector of serialized Examples; a context is put before each, which merges it into them."""
    if given.WhichOneof("kind") == "example_list_with_context":
        context = given.example_list_with_context.context.SerializeToString()
        examples = [context + example.SerializeToString() for example in given.example_list_with_context.examples]
    else:
        examples = [example.SerializeToString() for example in given.example_list.examples]
    if not examples:
        raise _invalid("Input is empty.")
    array = np.empty(len(examples), object)
    array[:] = examples
    return array


def _debug_string(signature: protos.meta_graph_pb2.SignatureDef) -> str:
    """The signature as C++'s ``DebugString`` prints it: map entries by key, text escaped to ASCII."""
    return text_format.MessageToString(signature, as_utf8=False)


def _classification_tensors(signature: protos.meta_graph_pb2.SignatureDef) -> tuple[str, list[str]]:
    """The names of the input tensor and of the one or two output tensors, classes first."""
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) not in (1, 2):
        raise _invalid(f"Expected one or two output Tensors, found {len(signature.outputs)}")
    if "inputs" not in signature.inputs:
        raise _invalid(f"No classification inputs found in SignatureDef: {_debug_string(signature)}")
    outputs = [signature.outputs[alias].name for alias in ("classes", "scores") if alias in signature.outputs]
    if not outputs:
        raise _invalid(
            'Expected classification signature outputs to contain at least one of "classes" or "scores". '
            f"Signature was: {_debug_string(signature)}"
        )
    return signature.inputs["inputs"].name, outputs


def _regression_tensors(signature: protos.meta_graph_pb2.SignatureDef) -> tuple[str, str]:
    """The names of the input and of the output tensor."""
    if len(signature.inputs) != 1:
        raise _invalid("Expected one input Tensor.")
    if len(signature.outputs) != 1:
        raise _invalid("Expected one output Tensor.")
    if "inputs" not in signature.inputs:
        raise _invalid(f"No regression inputs found in SignatureDef: {_debug_string(signature)}")
    if "outputs" not in signature.outputs:
        raise _invalid(f"No regression outputs found in SignatureDef: {_debug_string(signature)}")
    return signature.inputs["inputs"].name, signature.outputs["outputs"].name


def _fill_classification(
    result: protos.classification_pb2.ClassificationResult,
    signature: protos.meta_graph_pb2.SignatureDef,
    examples: int,
    arrays: Mapping[str, Array],
) -> None:
    """Write [examples, number of classes] labels and scores, of which one may be missing."""
    result.SetInParent()
    outputs = signature.outputs
    classes = arrays[outputs["classes"].name] if "classes" in outputs else None
    scores = arrays[outputs["scores"].name] if "scores" in outputs else None
    for what, array, expected in (("classes", classes, "DT_STRING"), ("scores", scores, "DT_FLOAT")):
        if array is None:
            continue
        if array.ndim != 2:
            raise _invalid(f"Expected Tensor shape: [batch_size num_classes] but got {shape_string(array.shape)}")
        if data_type_name(array) != expected:
            raise _invalid(f"Expected {what} Tensor of {expected}. Got: {data_type_name(array)}")
        if array.shape[0] != examples:
            raise _invalid(f"Expected {what} output batch size of {examples}. Got: {array.shape[0]}")
    if classes is not None and scores is not None and classes.shape[1] != scores.shape[1]:
        raise _invalid(
            f"Tensors class and score should match in dim_size(1). Got {classes.shape[1]} vs. {scores.shape[1]}"
        )
    num_classes = next(array.shape[1] for array in (classes, scores) if array is not None)
    for i in range(examples):
        classifications = result.classifications.add()
        for c in range(num_classes):
            entry = classifications.classes.add()
            if classes is not None:
                entry.label = classes[i, c].decode(errors="replace")  # protobuf strings are UTF-8
            if scores is not None:
                entry.score = scores[i, c]


def _fill_regression(
    result: protos.regression_pb2.RegressionResult,
    signature: protos.meta_graph_pb2.SignatureDef,
    examples: int,
    arrays: Mapping[str, Array],
) -> None:
    """Write one value for each Example."""
    result.SetInParent()
    array = arrays[signature.outputs["outputs"].name]
    if array.ndim != 1 and not (array.ndim == 2 and array.shape[1] == 1):
        raise _invalid(
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got "
            f"{shape_string(array.shape)}"
        )
    if array.shape[0] != examples:
        raise _invalid(f"Input batch size did not match output batch size: {examples} vs. {array.shape[0]}")
    if data_type_name(array) != "DT_FLOAT":
        raise _invalid(f"Expected output Tensor of DT_FLOAT.  Got: {data_type_name(array)}")
    for value in array.reshape(-1).tolist():
        result.regressions.add(value=value)
