"""What is known of the server's batching: BatchingParameters, its defaults, and what the server says to wrong ones.

Source: tensorflow_serving/servables/tensorflow/session_bundle_config.proto and bundle_factory_util.{h,cc};
defaults from TensorFlow's shared_batch_scheduler.h.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from google.protobuf.message import Message

from tfs_locust.tfserving.text_proto import (
    BOOL,
    INT64,
    FieldType,
    TextProtoError,
    declare_messages,
    read_text_proto,
)

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
    """Ascending; empty: a batch is executed at the size it has. The server takes sizes below 1, too, and never uses
    them, as no batch is so small."""
    pad_variable_length_inputs: bool = False
    enable_large_batch_splitting: bool = False
    max_execution_batch_size: int | None = None
    """Only with splitting; None: ``max_batch_size``."""

    @classmethod
    def from_message(cls, message: Message) -> BatchingParameters:
        """Take what ``message`` sets and the server's defaults for the rest."""
        fields = cast("Any", message)
        wrapped = {name: getattr(fields, name).value for name in _WRAPPED if message.HasField(name)}
        if wrapped.get("enable_large_batch_splitting") and "max_batch_size" not in wrapped:
            wrapped.setdefault("max_execution_batch_size", 0)  # the server copies the value of the unset field
        return cls(
            allowed_batch_sizes=tuple(fields.allowed_batch_sizes),
            pad_variable_length_inputs=fields.pad_variable_length_inputs,
            **wrapped,
        )

    @classmethod
    def read(cls, path: str) -> BatchingParameters:
        """Read a ``--batching_parameters_file``. Raises TextProtoError."""
        try:
            return cls.from_message(read_text_proto(path, _MESSAGE()))
        except TextProtoError as error:
            raise TextProtoError(f"{error}{_hint(str(error))}") from None

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
        """Why a model with these parameters does not load, in the server's words where it has any; None: it does."""
        return next(self._load_problems(), None)

    def problems(self) -> list[str]:
        """Everything that keeps a server with these as its ``--batching_parameters_file`` from serving."""
        problems = list(self._load_problems())
        if self.num_batch_threads is not None and self.num_batch_threads < 1:
            problems.insert(0, f"num_batch_threads must be positive; was {self.num_batch_threads}")
        return problems

    def _load_problems(self) -> Iterator[str]:
        if self.allowed_batch_sizes and self.allowed_batch_sizes[-1] != self.max_batch_size:
            yield (
                "Last entry in allowed_batch_sizes must match max_batch_size; last entry was "
                f"{self.allowed_batch_sizes[-1]}; expected {self.max_batch_size}"
            )
        # below zero the real server takes for a very large number; nobody means that
        if self.max_batch_size <= 0:
            yield f"input_batch_size_limit must be positive; was {self.max_batch_size}"
        if self.batch_timeout_micros < 0:
            yield f"batch_timeout_micros must be non-negative; was {self.batch_timeout_micros}"
        if self.max_enqueued_batches < 0 or (self.enable_large_batch_splitting and self.max_enqueued_batches == 0):
            yield f"max_enqueued_batches must be positive; was {self.max_enqueued_batches}"
        most = self.largest_batch % (1 << 64)  # the server keeps it unsigned: below zero it becomes very large
        if self.enable_large_batch_splitting and self.max_batch_size < most:
            # the server glues the three values to its text without spaces
            yield (
                "When enable_large_batch_splitting is true, input_batch_size_limit must be greater than or equal to "
                f"max_execution_batch_size.1{self.max_batch_size}{most}"
            )
        if self.enable_large_batch_splitting and self.max_execution_batch_size == 0:
            # the real server loads the model, and then cannot cut its first request
            yield (
                "enable_large_batch_splitting needs max_execution_batch_size or max_batch_size: without both the "
                "server takes 0 for the rows of an execution"
            )


def _hint(fault: str) -> str:
    """What to write instead, for the two mistakes people make."""
    unknown = re.search(r'no field named "(\w+)"', fault)
    if unknown is None:
        scalar = re.search(r"'(\w+)\s*:\s*([^'{]+)': Expected \"{\"", fault)
        return "" if scalar is None else f"; write {scalar[1]} {{ value: {scalar[2].strip()} }}"
    if "priority" in unknown[1]:
        return (
            "; mixed priorities are attributes of a BatchFunction inside a SavedModel: the server's own batching has "
            "one priority only"
        )
    return f"; its fields are {', '.join(field.name for field in _MESSAGE.DESCRIPTOR.fields)}"
