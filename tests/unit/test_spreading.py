"""The requests of a class with several targets: the same inputs for all, each with its share, in bounded memory."""

from __future__ import annotations

import itertools
from argparse import Namespace
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from tests.unit.metadata import Tensors, grpc_metadata, rest_metadata, signature_def
from tests.unit.user_classes import user_class
from tfs_locust.judge.canary import Pair
from tfs_locust.measure.sample import Key, Outcome
from tfs_locust.swarm.blueprint import Blueprint, blueprint
from tfs_locust.swarm.scenario import Scenario
from tfs_locust.swarm.settings import SettingsError, read_settings
from tfs_locust.swarm.spreading import asked_all, open_spread, pairs_of, settled
from tfs_locust.tfserving.codec import CodecError, without_spec
from tfs_locust.tfserving.protos import (
    GET_MODEL_STATUS,
    get_model_metadata_pb2,
    get_model_status_pb2,
    predict_pb2,
)
from tfs_locust.transport.base import Reply
from tfs_locust.transport.scripted import Answer, Call, Scripted

INPUTS: Tensors = {"x": ("float", (-1, 2))}
_AVAILABLE = get_model_status_pb2.ModelVersionStatus.AVAILABLE
LABELS = {"stable": 3, "canary": 5}


class Server:
    """Answers for models by name, each with its versions and inputs."""

    def __init__(self, models: Mapping[str, tuple[list[int], Tensors]]) -> None:
        self._models = models
        self.transport = Scripted(self.answer)

    def answer(self, call: Call) -> Answer:
        if call.body is None:  # REST
            _, _, _, model, *rest = call.path.split("/")
            version = int(rest[1]) if rest[0] == "versions" else LABELS[rest[1]] if rest[0] == "labels" else 0
            versions, inputs = self._models[model]
            return Answer(rest_metadata(_signatures(inputs), model, version or max(versions)))
        if call.path == GET_MODEL_STATUS:
            status = get_model_status_pb2.GetModelStatusResponse()
            request = get_model_status_pb2.GetModelStatusRequest.FromString(call.body)
            if request.model_spec.name not in self._models:
                return Answer(outcome=Outcome.NOT_FOUND, detail="no such model")
            for version in self._models[request.model_spec.name][0]:
                status.model_version_status.add(version=version, state=_AVAILABLE)
            return Answer(status.SerializeToString())
        spec = get_model_metadata_pb2.GetModelMetadataRequest.FromString(call.body).model_spec
        versions, inputs = self._models.get(spec.name, ([], {}))
        version = LABELS.get(spec.version_label) or spec.version.value or max(versions, default=0)
        if version not in versions:
            return Answer(outcome=Outcome.NOT_FOUND, detail="Servable not found for request")
        return Answer(grpc_metadata(_signatures(inputs), spec.name, version))


def _signatures(inputs: Tensors) -> Mapping[str, Any]:
    return {"serving_default": signature_def(inputs, {"y": ("float", (-1,))})}


def plan(traffic: str, protocol: str = "grpc", **said: Any) -> Blueprint:
    """Of a class with this traffic for model ``m``."""
    host = "grpc://127.0.0.1:8500" if protocol == "grpc" else "http://127.0.0.1:8501"
    one = user_class(protocol=protocol, host=host, **{"model": "m", "traffic": traffic, **said})
    return blueprint(one, read_settings(Namespace())[0], None)


def sent(scenario: Scenario, count: int) -> list[Call]:
    """The next requests, as they are prepared."""
    assert scenario.turns is not None
    return [next(next(scenario.turns).pool)[0] for _ in range(count)]


def parsed(calls: list[Call]) -> list[tuple[str, int, str, bytes]]:
    """Model, version and label of each, and its inputs."""
    found = []
    for call in calls:
        request = predict_pb2.PredictRequest.FromString(call.body or b"")
        spec = request.model_spec
        found.append((spec.name, spec.version.value, spec.version_label, request.inputs["x"].SerializeToString()))
    return found


SERVED = {"m": ([1, 3, 5], INPUTS), "n": ([2], INPUTS), "other": ([1], {"z": ("int64", (-1,))})}


@pytest.mark.parametrize("most_bytes", [1 << 20, 3000, 0])
def test_each_target_gets_every_payload_as_often(most_bytes: int) -> None:
    """Whatever room there is for prepared requests; and the inputs are the same for all."""
    scenario = open_spread(plan("1:2,3:1,n/:1", payloads=4), Server(SERVED).transport, most_bytes=most_bytes)
    requests = parsed(sent(scenario, 4 * 4 * 3))
    counts = Counter(requests)
    assert len({inputs for *_, inputs in requests}) == 4
    assert len(counts) == 3 * 4
    assert {(model, version): count for (model, version, _, _), count in counts.items()} == {
        ("m", 1): 6,
        ("m", 3): 3,
        ("n", 0): 3,
    }


def test_prepared_requests_are_kept_as_long_as_there_is_room() -> None:
    """And made anew where there is none: they are the same then, but not the same object."""
    roomy = open_spread(plan("1,3", payloads=2), Server(SERVED).transport)
    first, second = sent(roomy, 4), sent(roomy, 4)
    assert all(one is two for one, two in zip(first, second, strict=True))
    narrow = open_spread(plan("1,3", payloads=2), Server(SERVED).transport, most_bytes=1000)
    first, second = sent(narrow, 4), sent(narrow, 4)
    assert first == second
    assert sum(one is two for one, two in zip(first, second, strict=True)) == 1


def test_over_rest_the_paths_differ() -> None:
    """And the bodies are the same for all."""
    scenario = open_spread(plan("3,5,stable", "rest", payloads=1), Server(SERVED).transport)
    calls = sent(scenario, 3)
    assert sorted(call.path for call in calls) == [
        "/v1/models/m/labels/stable:predict",
        "/v1/models/m/versions/3:predict",
        "/v1/models/m/versions/5:predict",
    ]
    assert len({call.body for call in calls}) == 1


def test_a_users_own_bodies_go_to_the_target_whose_turn_it_is() -> None:
    """Whatever model_spec they carry; also those of `predict`."""
    own = predict_pb2.PredictRequest()
    own.model_spec.name, own.model_spec.version.value, own.model_spec.signature_name = "else", 9, "else"
    own.inputs["x"].float_val.extend([1.0, 2.0])
    body = own.SerializeToString()
    scenario = open_spread(plan("canary:1,n/2:1", payload=[body]), Server(SERVED).transport)
    inputs = own.inputs["x"].SerializeToString()
    assert parsed(sent(scenario, 2)) == [("m", 0, "canary", inputs), ("n", 2, "", inputs)]
    one = scenario.targets[1]
    assert parsed([one.prepare(body)[0]]) == [("n", 2, "", inputs)]
    by_name, _, _ = one.prepare({"x": np.array([[1.0, 2.0]], np.float32)})
    assert parsed([by_name])[0][:3] == ("n", 2, "")


def test_a_source_that_is_larger_than_memory_is_read_on() -> None:
    """Its payloads go to the targets in turn."""
    pages = ({"x": [[float(number), 0.0]]} for number in range(8))
    scenario = open_spread(plan("1,3", payloads=4, payload=pages), Server(SERVED).transport)
    assert not scenario.stock.whole
    first = parsed(sent(scenario, 4))
    assert scenario.stock.refill(4) == 4
    second = parsed(sent(scenario, 4))
    assert len({inputs for *_, inputs in first + second}) == 8
    assert [version for _, version, _, _ in first + second] == [1, 3] * 4


@pytest.mark.parametrize("cut", [b"\x0a\x05ab", b"\x08\x01", b"\x0a"])
def test_a_body_that_is_no_request(cut: bytes) -> None:
    """Cannot be given another model, which is told before any load."""
    with pytest.raises(CodecError, match="the body is no PredictRequest"):
        without_spec(cut)
    with pytest.raises(SettingsError, match="the body is no PredictRequest"):
        open_spread(plan("1,3", payload=[cut]), Server(SERVED).transport)


def test_targets_that_are_not_there_are_told_together() -> None:
    """Each with what there is; those that are there are not named."""
    with pytest.raises(SettingsError) as raised:
        asked_all(plan("1,7,8,nope/"), Server(SERVED).transport)
    told = raised.value.problems
    assert len(told) == 4
    assert all(f"model 'm' has no version {one}; it has: 5 (AVAILABLE), 3" in told[at] for at, one in enumerate((7, 8)))
    assert "model 'nope' is not known to the server" in told[2]
    assert told[3] == "Mine: its traffic is '1,7,8,nope/': change it with --tfs-traffic, or in the class"


def test_very_many_that_are_not_there() -> None:
    """The first are told, and how many more there are."""
    with pytest.raises(SettingsError) as raised:
        asked_all(plan("{100..199}"), Server(SERVED).transport)
    assert raised.value.problems[-2] == "Mine: and 80 more targets like these"


def test_models_that_take_other_inputs() -> None:
    """One payload cannot be for both, which is told with what each takes."""
    with pytest.raises(SettingsError) as raised:
        asked_all(plan("1,3,other/"), Server(SERVED).transport)
    assert raised.value.problems == [
        "Mine: one payload cannot be for all of its traffic: model 'm' version 1 takes x: float [?, 2]. model 'other': "
        "z: int64 [?]. Use a class for each"
    ]


def test_a_server_that_is_not_there_is_asked_once() -> None:
    """Not once for each of a hundred targets."""
    transport = Scripted(lambda _: Answer(outcome=Outcome.UNREACHABLE, detail="refused"))
    with pytest.raises(SettingsError, match="is the server running"):
        asked_all(plan("{1..100}"), transport)
    assert len(transport.calls) == 1


def test_a_server_that_is_busy_is_asked_again() -> None:
    """A refusal for lack of threads says nothing of the target."""
    server, refused = Server(SERVED), iter([True, False, True, True])
    busy = Answer(outcome=Outcome.SERVER_THREADS_EXHAUSTED)
    transport = Scripted(lambda call: busy if next(refused, False) else server.answer(call))
    assert [one.version for one in asked_all(plan("1,3"), transport)] == [1, 3]


def test_the_two_newest() -> None:
    """Are those that the server has; with one alone there is no canary."""
    found = settled(plan("auto:0.25"), Server(SERVED).transport)
    assert str(found.traffic) == "3:0.75,5:0.25"
    with pytest.raises(SettingsError) as raised:
        settled(plan("auto", model="n"), Server(SERVED).transport)
    assert "over the two newest versions of model 'n', of which the server has: 2 (AVAILABLE); let it" in str(
        raised.value
    )


@pytest.mark.parametrize(
    ("traffic", "protocol", "pairs"),
    [
        ("1:9,3:1", "grpc", [Pair("m", "1", "3")]),
        ("stable:9,canary:1", "grpc", [Pair("m", "3", "5")]),
        ("stable:9,canary:1", "rest", [Pair("m", "@stable", "@canary")]),
        ("1,3,5", "grpc", []),
    ],
)
def test_which_versions_are_compared(traffic: str, protocol: str, pairs: list[Pair]) -> None:
    """As their samples are counted."""
    assert pairs_of(plan(traffic, protocol), Server(SERVED).transport) == pairs


def test_what_stands_for_a_version() -> None:
    """The number that is asked for; over gRPC what the label stood for when it last answered, over REST the label."""
    one = open_spread(plan("canary,1"), Server(SERVED).transport)
    failed, good = Reply(1, 2, Outcome.UNAVAILABLE, b"", "gone"), predict_pb2.PredictResponse()
    label, pinned = one.targets
    assert label.examine(failed)[1] == Key("Mine", "grpc", "m", "5", Outcome.UNAVAILABLE)
    assert pinned.examine(failed)[1] == Key("Mine", "grpc", "m", "1", Outcome.UNAVAILABLE)
    good.model_spec.version.value = 6
    assert label.examine(Reply(1, 2, Outcome.OK, good.SerializeToString(), ""))[1].version == "6"
    assert label.examine(failed)[1].version == "6"
    assert one.key(one.asked_version, Outcome.UNSENT) == Key("Mine", "grpc", "m", "", Outcome.UNSENT)
    rest = open_spread(plan("canary,1", "rest"), Server(SERVED).transport)
    assert [target.examine(failed)[1].version for target in rest.targets] == ["@canary", "1"]


def test_the_share_follows_the_ramp_and_goes_back() -> None:
    """Each stage is exact within itself; when the canary is given up, the baseline has it all."""
    scenario = open_spread(plan("1,3", canary_ramp="10%:1s,50%:1s,100%"), Server(SERVED).transport)
    assert scenario.turns is not None
    shares = []
    for stage, given_up in ((0, False), (1, False), (1, False), (2, False), (2, True)):
        scenario.turns.follow(stage, given_up=given_up)
        shares.append([version for _, version, _, _ in parsed(sent(scenario, 10))].count(3))
    assert shares == [1, 5, 5, 10, 0]


def test_word_that_changes_nothing_does_not_begin_anew() -> None:
    """It is told again each second; shares stay exact over that."""
    scenario = open_spread(plan("1:9,3:1"), Server(SERVED).transport)
    assert scenario.turns is not None
    versions = []
    for _ in range(20):
        scenario.turns.follow(0, given_up=False)
        versions += [version for _, version, _, _ in parsed(sent(scenario, 3))]
    assert [versions[:count].count(3) for count in (10, 30, 60)] == [1, 3, 6]
    assert list(itertools.islice(versions, 10)).count(1) == 9
