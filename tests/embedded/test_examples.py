"""Classify, Regress and MultiInference on a servable whose graph is a Python function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from google.protobuf import text_format

from tfs_locust.embedded.examples import classify, multi_inference, regress
from tfs_locust.embedded.metrics import Metrics
from tfs_locust.embedded.servable import Servable
from tfs_locust.embedded.status import Code, ServingError
from tfs_locust.tfserving import protos


def _signature(text: str) -> Any:
    return text_format.Parse(text, protos.meta_graph_pb2.SignatureDef())


_INPUT = 'inputs { key: "inputs" value { name: "examples:0" dtype: DT_STRING } } '
_CLASSES = 'outputs { key: "classes" value { name: "classes:0" } } '
_SCORES = 'outputs { key: "scores" value { name: "scores:0" } } '
_VALUES = 'outputs { key: "outputs" value { name: "values:0" } } '
_SIGNATURES = {
    "serving_default": _signature(_INPUT + _CLASSES + _SCORES),
    "scores": _signature(_INPUT + _SCORES),
    "classes": _signature(_INPUT + _CLASSES),
    "regress": _signature(_INPUT + _VALUES),
    "x": _signature('inputs { key: "x" value { name: "x:0" } }' + _VALUES),
    "y": _signature(_INPUT + 'outputs { key: "y" value { name: "y:0" } }'),
    "two": _signature(_INPUT + 'inputs { key: "x" value { name: "x:0" } }' + _VALUES),
    "three": _signature(_INPUT + _CLASSES + _SCORES + _VALUES),
}


def _servable(**replaced: Any) -> Servable:
    def run(feeds: Mapping[str, Any], fetches: Sequence[str], _: float | None) -> list[Any]:
        sizes = np.array([[len(example)] for example in feeds["examples:0"]], np.float32)
        tensors = {
            "classes:0": np.array([[b"lo", b"hi"]] * len(sizes), object),
            "scores:0": np.concatenate([sizes, sizes / 2], axis=1),
            "values:0": sizes,
            **{f"{name}:0": value for name, value in replaced.items()},
        }
        return [tensors[name] for name in fetches]

    return Servable("m", 3, _SIGNATURES, run, lambda: None)


def _fill(request: Any, signature_name: str, examples: int) -> Any:
    request.model_spec.name = "m"
    request.model_spec.signature_name = signature_name
    for _ in range(examples):
        request.input.example_list.examples.add().features.feature["f"].float_list.value.append(1)
    return request


def _classification(signature_name: str = "", examples: int = 2) -> Any:
    return _fill(protos.classification_pb2.ClassificationRequest(), signature_name, examples)


def _regression(signature_name: str = "regress", examples: int = 2) -> Any:
    return _fill(protos.regression_pb2.RegressionRequest(), signature_name, examples)


_SIZE = float(len(_regression().input.example_list.examples[0].SerializeToString()))


def test_classify_with_labels_and_scores() -> None:
    """Each Example gets its classes, in the order of the graph."""
    response = classify(_servable(), _classification(), None, Metrics())
    result = [[(c.label, c.score) for c in example.classes] for example in response.result.classifications]
    assert result == [[("lo", _SIZE), ("hi", _SIZE / 2)]] * 2
    spec = response.model_spec
    assert (spec.name, spec.version.value, spec.signature_name) == ("m", 3, "serving_default")


@pytest.mark.parametrize(
    ("signature", "expected"), [("scores", [("", _SIZE), ("", _SIZE / 2)]), ("classes", [("lo", 0.0), ("hi", 0.0)])]
)
def test_classify_with_one_of_them(signature: str, expected: list[tuple[str, float]]) -> None:
    """Labels or scores alone will do."""
    response = classify(_servable(), _classification(signature), None, Metrics())
    assert [(c.label, c.score) for c in response.result.classifications[0].classes] == expected


@pytest.mark.parametrize("shape", [(2,), (2, 1)])
def test_regress(shape: tuple[int, ...]) -> None:
    """One value for each Example, from a vector or a column."""
    response = regress(
        _servable(values=np.array([1.5, 2.5], np.float32).reshape(shape)), _regression(), None, Metrics()
    )
    assert [regression.value for regression in response.result.regressions] == [1.5, 2.5]
    assert response.model_spec.signature_name == "regress"


def test_context_is_merged_into_each_example() -> None:
    """Serialized context and Example stand one after the other."""
    seen: list[bytes] = []

    def run(feeds: Mapping[str, Any], *_: Any) -> list[Any]:
        seen.extend(feeds["examples:0"].tolist())
        return [np.zeros((1, 1), np.float32)]

    request = _regression(examples=0)
    request.input.example_list_with_context.context.features.feature["c"].int64_list.value.append(1)
    request.input.example_list_with_context.examples.add().features.feature["e"].int64_list.value.append(2)
    regress(Servable("m", 1, _SIGNATURES, run, lambda: None), request, None, Metrics())
    context = request.input.example_list_with_context.context.SerializeToString()
    assert seen == [context + request.input.example_list_with_context.examples[0].SerializeToString()]


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda s, m: classify(s, _classification("nope"), None, m), "No signature was found with the name: nope"),
        (lambda s, m: regress(s, _regression("nope"), None, m), "No signature was found with the name: nope"),
        (lambda s, m: classify(s, _classification(examples=0), None, m), "Input is empty."),
        (lambda s, m: regress(s, _regression(examples=0), None, m), "Input is empty."),
        (lambda s, m: classify(s, _classification("two"), None, m), "Expected one input Tensor."),
        (lambda s, m: regress(s, _regression("two"), None, m), "Expected one input Tensor."),
        (
            lambda s, m: classify(s, _classification("three"), None, m),
            "Expected one or two output Tensors, found 3",
        ),
        (lambda s, m: regress(s, _regression("serving_default"), None, m), "Expected one output Tensor."),
        (
            lambda s, m: classify(s, _classification("x"), None, m),
            (
                'No classification inputs found in SignatureDef: inputs {\n  key: "x"\n  value {\n    name: "x:0"\n'
                '  }\n}\noutputs {\n  key: "outputs"\n  value {\n    name: "values:0"\n  }\n}\n'
            ),
        ),
        (
            lambda s, m: classify(s, _classification("regress"), None, m),
            (
                'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature '
                'was: inputs {\n  key: "inputs"\n  value {\n    name: "examples:0"\n    dtype: DT_STRING\n  }\n}\n'
                'outputs {\n  key: "outputs"\n  value {\n    name: "values:0"\n  }\n}\n'
            ),
        ),
        (
            lambda s, m: regress(s, _regression("y"), None, m),
            (
                'No regression outputs found in SignatureDef: inputs {\n  key: "inputs"\n  value {\n    '
                'name: "examples:0"\n    dtype: DT_STRING\n  }\n}\noutputs {\n  key: "y"\n  value {\n    '
                'name: "y:0"\n  }\n}\n'
            ),
        ),
    ],
)
def test_wrong_requests(call: Any, text: str) -> None:
    """Each mistake has the server's text, the signature printed as C++ prints it."""
    with pytest.raises(ServingError) as error:
        call(_servable(), Metrics())
    assert (error.value.code, error.value.message) == (Code.INVALID_ARGUMENT, text)


@pytest.mark.parametrize(
    ("replaced", "text"),
    [
        (
            {"scores": np.zeros(2, np.float32)},
            "Expected Tensor shape: [batch_size num_classes] but got [2]",
        ),
        ({"scores": np.zeros((2, 2))}, "Expected scores Tensor of DT_FLOAT. Got: DT_DOUBLE"),
        ({"classes": np.zeros((2, 2))}, "Expected classes Tensor of DT_STRING. Got: DT_DOUBLE"),
        ({"scores": np.zeros((3, 2), np.float32)}, "Expected scores output batch size of 2. Got: 3"),
        (
            {"scores": np.zeros((2, 5), np.float32)},
            "Tensors class and score should match in dim_size(1). Got 2 vs. 5",
        ),
    ],
)
def test_classification_outputs_that_fit_not(replaced: dict[str, Any], text: str) -> None:
    """What the graph gives is checked before it is answered."""
    with pytest.raises(ServingError) as error:
        classify(_servable(**replaced), _classification(), None, Metrics())
    assert error.value.message == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            np.zeros((2, 2), np.float32),
            "Expected output Tensor shape to be either [batch_size] or [batch_size, 1] but got [2,2]",
        ),
        (np.zeros(3, np.float32), "Input batch size did not match output batch size: 2 vs. 3"),
        (np.zeros(2), "Expected output Tensor of DT_FLOAT.  Got: DT_DOUBLE"),
    ],
)
def test_regression_outputs_that_fit_not(values: Any, text: str) -> None:
    """What the graph gives is checked before it is answered."""
    with pytest.raises(ServingError) as error:
        regress(_servable(values=values), _regression(), None, Metrics())
    assert error.value.message == text


def _multi(*tasks: tuple[str, str, str]) -> Any:
    request = protos.inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        task.model_spec.name = name
        task.model_spec.signature_name = signature
    request.input.example_list.examples.add()
    return request


def test_multi_inference_runs_all_tasks_at_once() -> None:
    """Results come in the order of the tasks, and the Examples are counted."""
    metrics = Metrics()
    request = _multi(("m", "regress", "regress"), ("m", "", "classify"))
    response = multi_inference(_servable(), request, None, metrics)
    regression, classification = response.results
    assert [value.value for value in regression.regression_result.regressions] == [0]
    assert [c.label for c in classification.classification_result.classifications[0].classes] == ["lo", "hi"]
    assert classification.model_spec.signature_name == "serving_default"
    assert regression.model_spec.version.value == 3
    assert ':tensorflow:serving:request_example_count_total{model="m"} 1' in metrics.page().splitlines()


@pytest.mark.parametrize(
    ("request_", "code", "text"),
    [
        (
            _multi(("m", "regress", "regress"), ("", "", "classify")),
            Code.INVALID_ARGUMENT,
            "Found ModelSpec with an empty model name.",
        ),
        (
            _multi(("m", "regress", "regress"), ("n", "", "classify")),
            Code.INVALID_ARGUMENT,
            "All ModelSpecs in a MultiInferenceRequest must access the same model name.",
        ),
        (
            _multi(("m", "", "classify"), ("m", "serving_default", "classify")),
            Code.INVALID_ARGUMENT,
            "Duplicate evaluation of signature: serving_default",
        ),
        (
            _multi(("m", "nope", "classify")),
            Code.INVALID_ARGUMENT,
            "Requested signature not found in model graph: nope",
        ),
        (
            _multi(("m", "", "predict")),
            Code.UNIMPLEMENTED,
            "Unsupported signature method_name: tensorflow/serving/predict",
        ),
    ],
)
def test_wrong_multi_inference(request_: Any, code: Code, text: str) -> None:
    """Each mistake has the server's code and text."""
    with pytest.raises(ServingError) as error:
        multi_inference(_servable(), request_, None, Metrics())
    assert (error.value.code, error.value.message) == (code, text)
