"""A small dense SavedModel, written to a numbered version folder: ten floats in, one out.

Runs TensorFlow, so the demo starts it as a process of its own: ``python -m tfs_locust.embedded.demo_model FOLDER``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

FEATURES, HIDDEN = 10, 64


def save_dense_model(folder: Path) -> None:
    """Write a SavedModel with the signature ``serving_default``: input [-1, 10] float, output [-1, 1] float."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    class Dense(tf.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            random = tf.random.Generator.from_seed(0)
            self.hidden = tf.Variable(random.normal([FEATURES, HIDDEN]))
            self.out = tf.Variable(random.normal([HIDDEN, 1]) / HIDDEN)

        @tf.function(input_signature=[tf.TensorSpec([None, FEATURES], tf.float32, name="input")])  # type: ignore[untyped-decorator]
        def serve(self, features: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"output": tf.nn.relu(features @ self.hidden) @ self.out}

    model = Dense()
    tf.saved_model.save(model, str(folder), signatures=model.serve)


if __name__ == "__main__":
    save_dense_model(Path(sys.argv[1]))
