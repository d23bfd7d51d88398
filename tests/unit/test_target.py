"""A target is spelt for gRPC and for REST."""

from __future__ import annotations

from tfs_locust.tfserving.target import Target


def test_rest_paths_name_version_or_label_and_escape_names() -> None:
    """Names with spaces, slashes and colons cannot break out of their place in the path."""
    assert Target("m").rest_path(":predict") == "/v1/models/m:predict"
    assert Target("m", version=3).rest_path("/metadata") == "/v1/models/m/versions/3/metadata"
    assert Target("a b/c", label="x:y").rest_path() == "/v1/models/a%20b%2Fc/labels/x%3Ay"


def test_model_specs_leave_out_what_is_not_asked_for() -> None:
    """Without version, label and signature the spec holds the name alone, so that the newest version answers."""
    assert Target("m").model_spec().SerializeToString() == b"\n\x01m"
    assert not Target("m").model_spec().HasField("version")


def test_version_zero_is_a_version() -> None:
    """0 is asked for explicitly, not taken for nothing."""
    assert Target("m", version=0).model_spec().HasField("version")
    assert Target("m", version=0).rest_path() == "/v1/models/m/versions/0"
