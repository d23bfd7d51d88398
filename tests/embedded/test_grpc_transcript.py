"""The recorded answers of the real server, asked again of this one over a real connection."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest

from tfs_locust.tfserving import protos

_CASES = [
    json.loads(line)
    for line in (Path(__file__).parents[1] / "data" / "transcripts" / "grpc.jsonl").read_text().splitlines()
]
_RESPONSES = {
    "Predict": protos.predict_pb2.PredictResponse,
    "GetModelMetadata": protos.get_model_metadata_pb2.GetModelMetadataResponse,
    "GetModelStatus": protos.get_model_status_pb2.GetModelStatusResponse,
}


@pytest.mark.parametrize("case", _CASES, ids=[case["id"] for case in _CASES])
def test_recorded_case(case: dict[str, Any], transcript_server: SimpleNamespace) -> None:
    """Code, text and message are those the real server gave."""
    compression = grpc.Compression.Gzip if "gzip" in case["name"] else None
    with grpc.insecure_channel(transcript_server.grpc_address) as channel:
        call = channel.unary_unary(case["method"])
        if case["code"] != "OK":
            with pytest.raises(grpc.RpcError) as refused:
                call(bytes.fromhex(case["request_hex"]), timeout=30, compression=compression)
            assert (refused.value.code().name, refused.value.details()) == (case["code"], case["details"])
            return
        answer = call(bytes.fromhex(case["request_hex"]), timeout=30, compression=compression)
    response = _RESPONSES[case["method"].rsplit("/", 1)[1]]
    assert response.FromString(answer) == response.FromString(bytes.fromhex(case["response_hex"]))
