"""BatchingParameters: what a file sets, what the server sets, what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tfs_locust.tfserving.batching import BatchingParameters
from tfs_locust.tfserving.text_proto import TextProtoError

_TRANSCRIPTS = Path(__file__).parents[1] / "data" / "transcripts"


def test_empty_file_means_the_servers_defaults(tmp_path: Path) -> None:
    """An empty text proto is valid and changes nothing."""
    file = tmp_path / "batching.config"
    file.write_text("")
    assert BatchingParameters.read(str(file)) == BatchingParameters()
    assert BatchingParameters().max_batch_size == 1000
    assert BatchingParameters().num_batch_threads is None


def test_recorded_server_parameters() -> None:
    """The file of the recorded server is read field by field."""
    assert BatchingParameters.read(str(_TRANSCRIPTS / "batching.config")) == BatchingParameters(
        max_batch_size=32,
        batch_timeout_micros=2000,
        num_batch_threads=2,
        max_enqueued_batches=100,
        allowed_batch_sizes=(1, 2, 4, 8, 16, 32),
    )


def test_all_fields(tmp_path: Path) -> None:
    """Every field of the message is taken, an explicit 0 too."""
    file = tmp_path / "batching.config"
    file.write_text(
        "max_batch_size { value: 64 } batch_timeout_micros { value: 0 } max_enqueued_batches { value: 0 } "
        'num_batch_threads { value: 3 } thread_pool_name { value: "pool" } allowed_batch_sizes: 64 '
        "pad_variable_length_inputs: true enable_large_batch_splitting { value: true } "
        "max_execution_batch_size { value: 16 }"
    )
    assert BatchingParameters.read(str(file)) == BatchingParameters(64, 0, 0, 3, "pool", (64,), True, True, 16)


def test_largest_batch_is_the_execution_size_only_with_splitting() -> None:
    """Without splitting max_execution_batch_size means nothing."""
    assert BatchingParameters(max_batch_size=64, max_execution_batch_size=16).largest_batch == 64
    assert (
        BatchingParameters(
            max_batch_size=64, max_execution_batch_size=16, enable_large_batch_splitting=True
        ).largest_batch
        == 16
    )
    assert BatchingParameters(max_batch_size=64, enable_large_batch_splitting=True).largest_batch == 64


@pytest.mark.parametrize(("rows", "executed"), [(0, 1), (1, 1), (3, 4), (4, 4), (9, 9)])
def test_executed_size(rows: int, executed: int) -> None:
    """A batch is rounded up to an allowed size; one larger than all of them runs as it is."""
    assert BatchingParameters(max_batch_size=4, allowed_batch_sizes=(1, 2, 4)).executed_size(rows) == executed


def test_executed_size_without_allowed_sizes_is_the_batchs_own() -> None:
    """No allowed sizes: no padding."""
    assert BatchingParameters().executed_size(7) == 7


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        (BatchingParameters(), None),
        (BatchingParameters(max_enqueued_batches=0), None),
        (
            BatchingParameters(max_batch_size=32, allowed_batch_sizes=(8, 16)),
            "Last entry in allowed_batch_sizes must match max_batch_size; last entry was 16; expected 32",
        ),
        (BatchingParameters(max_batch_size=-1), "input_batch_size_limit must be positive; was -1"),
        (BatchingParameters(max_enqueued_batches=-1), "max_enqueued_batches must be positive; was -1"),
        (BatchingParameters(max_batch_size=0), "input_batch_size_limit must be positive; was 0"),
        (BatchingParameters(batch_timeout_micros=-1), "batch_timeout_micros must be non-negative; was -1"),
        (
            BatchingParameters(max_enqueued_batches=0, enable_large_batch_splitting=True),
            "max_enqueued_batches must be positive; was 0",
        ),
        (
            BatchingParameters(max_batch_size=8, enable_large_batch_splitting=True, max_execution_batch_size=16),
            (
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                "max_execution_batch_size.1816"
            ),
        ),
    ],
)
def test_problem(parameters: BatchingParameters, problem: str | None) -> None:
    """The server's reasons to refuse, in its words."""
    assert parameters.problem() == problem


def test_all_problems_at_once() -> None:
    """A file with several faults is told of all of them; the threads belong to the server, not to a model."""
    parameters = BatchingParameters(max_batch_size=8, batch_timeout_micros=-5, num_batch_threads=0)
    assert parameters.problems() == [
        "num_batch_threads must be positive; was 0",
        "batch_timeout_micros must be non-negative; was -5",
    ]
    assert parameters.problem() == "batch_timeout_micros must be non-negative; was -5"


def test_splitting_without_any_size(tmp_path: Path) -> None:
    """Where neither size is set, the server copies the 0 of an unset field."""
    file = tmp_path / "batching.config"
    file.write_text("enable_large_batch_splitting { value: true }")
    parameters = BatchingParameters.read(str(file))
    assert parameters.max_execution_batch_size == 0
    assert "without both the server takes 0" in parameters.problems()[0]
    file.write_text("enable_large_batch_splitting { value: true } max_batch_size { value: 8 }")
    assert BatchingParameters.read(str(file)).largest_batch == 8


@pytest.mark.parametrize(
    ("text", "place", "hint"),
    [
        ("max_batch_size: 128", "line 1, column 17", "; write max_batch_size { value: 128 }"),
        ("\nlow_priority_max_batch_size: 8", "line 2, column 1", "the server's own batching has one priority only"),
        ("max_batchsize: 8", "line 1, column 1", "; its fields are max_batch_size, batch_timeout_micros, "),
        ("max_batch_size { value: 8", "line 1", ""),
    ],
)
def test_mistakes_in_the_file(tmp_path: Path, text: str, place: str, hint: str) -> None:
    """The place, and what to write instead where that can be known."""
    file = tmp_path / "batching.config"
    file.write_text(text)
    with pytest.raises(TextProtoError) as error:
        BatchingParameters.read(str(file))
    assert str(error.value).startswith(f"{file}, {place}")
    assert hint in str(error.value)


def test_an_execution_size_below_zero() -> None:
    """The server keeps it unsigned, and finds it larger than any request."""
    parameters = BatchingParameters(max_batch_size=32, max_execution_batch_size=-4, enable_large_batch_splitting=True)
    assert parameters.problems() == [
        "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
        "max_execution_batch_size.13218446744073709551612"
    ]


def test_allowed_sizes_below_one() -> None:
    """The server takes them, and never executes a batch with one."""
    parameters = BatchingParameters(max_batch_size=32, allowed_batch_sizes=(-8, 0, 32))
    assert parameters.problems() == []
    assert {parameters.executed_size(rows) for rows in range(1, 33)} == {32}
