"""What is known of the server's batching: BatchingParameters, its defaults, and what the server says to wrong ones.

Source: tensorflow_serving/servables/tensorflow/session_bundle_config.proto and bundle_factory_util.{h,cc};
defaults from TensorFlow's shared_batch_scheduler.h.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from tfs_locust.tfserving.text_proto import BOOL, INT64, FieldType, declare_messages, read_text_proto

_INT64_VALUE = ".google.protobuf.Int64Value"

_MESSAGE = declare_messages(
    "tensorflow.serving",
    {
        "BatchingParameters": (
            FieldType("max_batch_size", 1, _INT64_VALUE),
            FieldType("batch_timeout_micros", 2, _INT64_VALUE),
            FieldType("max_enqueued_batches", 3, _INT64_VALUE),
            FieldType("num_batch_threads", 4, _INT64_VALUE),
            FieldType("thread_pool_name", 5, ".google.protobuf.StringValue"),
            FieldType("allowed_batch_sizes", 6, INT64, repeated=True),
            FieldType("pad_variable_length_inputs", 7, BOOL),
            FieldType("enable_large_batch_splitting", 8, ".google.protobuf.BoolValue"),
            FieldType("max_execution_batch_size", 9, _INT64_VALUE),
        )
    },
)["BatchingParameters"]

_WRAPPED = (
    *("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads", "thread_pool_name"),
    *("enable_large_batch_splitting", "max_execution_batch_size"),
)


@dataclass(frozen=True, slots=True)
class BatchingParameters:
    """How one server batches. Sizes are rows (0th dimension), times are microseconds."""

    max_batch_size: int = 1000
    batch_timeout_micros: int = 0
    max_enqueued_batches: int = 10
    num_batch_threads: int | None = None
    """None: as many as the server may use CPUs."""
    thread_pool_name: str = "batch_threads"
    allowed_batch_sizes: tuple[int, ...] = ()
    """Ascending; empty: a batch is executed at the size it has."""
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None
    """Only with splitting; None: ``max_batch_size``."""

    @classmethod
    def from_message(cls, message: Message) -> BatchingParameters:
        """Take what ``message`` sets and the server's defaults for the rest."""
        fields = cast("Any", message)
        wrapped = {name: getattr(fields, name).value for name in _WRAPPED if message.HasField(name)}
        return cls(
            allowed_batch_sizes=tuple(fields.allowed_batch_sizes),
            pad_variable_length_inputs=fields.pad_variable_length_inputs,
            **wrapped,
        )

    @classmethod
    def read(cls, path: str) -> BatchingParameters:
        """Read a ``--batching_parameters_file``. Raises TextProtoError."""
        return cls.from_message(read_text_proto(path, _MESSAGE()))

    @property
    def largest_batch(self) -> int:
        """The most rows one executed batch holds, before padding."""
        if self.enable_large_batch_splitting and self.max_execution_batch_size is not None:
            return self.max_execution_batch_size
        return self.max_batch_size

    @property
    def most_enqueued_batches(self) -> int:
        """The batches that may wait, the open one included: without splitting the server quietly takes 0 for 1."""
        return max(self.max_enqueued_batches, 0 if self.enable_large_batch_splitting else 1)

    def executed_size(self, rows: int) -> int:
        """The rows a batch of ``rows`` is executed with: the smallest allowed size that holds it, else its own."""
        return next((size for size in self.allowed_batch_sizes if size >= rows), rows)

    def problem(self) -> str | None:
        """Why the server refuses to load a model with these parameters, in its own words; None: it does not."""
        if self.allowed_batch_sizes and self.allowed_batch_sizes[-1] != self.max_batch_size:
            return (
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{self.allowed_batch_sizes[-1]}; expected {self.max_batch_size}"
            )
        if self.max_batch_size == 0:
            return "input_batch_size_limit must be positive; was 0"
        if self.batch_timeout_micros < 0:
            return f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}"
        if self.enable_large_batch_splitting and self.max_enqueued_batches == 0:
            return "max_enqueued_batches must be positive; was 0"
        if self.enable_large_batch_splitting and self.max_batch_size < self.largest_batch:
            # the server glues the three values to its text without spaces
            return (
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                f"max_execution_batch_size.1{self.max_batch_size}{self.largest_batch}"
            )
        return None
