"""Writes the SavedModels that tests need and no recording has: ``python make_models.py FOLDER``.

A process of its own, because TensorFlow takes its time and its warnings would fail the tests.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
os.environ["CUDA_VISIBLE_DEVICES"] = "-1"

import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

v1 = tf.compat.v1


def write_examples(path: str) -> None:
    """Signatures of all kinds on serialized Examples with one feature x: value 2x, scores (x, -x), labels."""
    with tf.Graph().as_default(), v1.Session() as session:
        examples = v1.placeholder(tf.string, [None], name="examples")
        parsed = v1.parse_example(examples, {"x": v1.FixedLenFeature([1], tf.float32)})["x"]
        values = tf.multiply(parsed, 2.0, name="values")
        scores = tf.concat([parsed, -parsed], axis=1, name="scores")
        classes = tf.tile(tf.constant([["plus", "minus"]]), [tf.shape(parsed)[0], 1], name="classes")
        info = v1.saved_model.build_tensor_info
        build = v1.saved_model.build_signature_def
        signatures = {
            "serving_default": build(
                {"inputs": info(examples)},
                {"classes": info(classes), "scores": info(scores)},
                "tensorflow/serving/classify",
            ),
            "regress": build({"inputs": info(examples)}, {"outputs": info(values)}, "tensorflow/serving/regress"),
            "nowhere": build({"inputs": info(examples)}, {"outputs": info(values)}, "tensorflow/serving/regress"),
        }
        signatures["nowhere"].outputs["outputs"].name = "nowhere:0"
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def write_types(path: str) -> None:
    """One identity for each of several types, and an output without a batch dimension."""
    types = (tf.half, tf.bfloat16, tf.bool, tf.int8, tf.uint64, tf.complex64, tf.double, tf.string)
    with tf.Graph().as_default(), v1.Session() as session:
        info, signatures = v1.saved_model.build_tensor_info, {}
        for dtype in types:
            x = v1.placeholder(dtype, [None], name=f"{dtype.name}_x")
            y = tf.identity(x, name=f"{dtype.name}_y")
            signatures[dtype.name] = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(y)}, "")
        x = v1.placeholder(tf.float32, name="scalar_x")
        signatures["scalar"] = v1.saved_model.build_signature_def({"x": info(x)}, {"y": info(tf.reduce_sum(x))}, "")
        builder = v1.saved_model.Builder(path)
        builder.add_meta_graph_and_variables(session, ["serve"], signatures)
        builder.save()


def write_warmup(path: str, *, broken: bool = False) -> None:
    """A warm-up file for the model of ``write_types``: one Predict of one string."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "types"
    request.model_spec.signature_name = "nope" if broken else "string"
    request.inputs["x"].CopyFrom(tf.make_tensor_proto(["a"]))
    log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
    folder = Path(path, "assets.extra")
    folder.mkdir()
    with tf.io.TFRecordWriter(str(folder / "tf_serving_warmup_requests")) as writer:
        writer.write(log.SerializeToString())


def main(folder: str) -> None:
    """Write all models."""
    write_examples(f"{folder}/examples/1")
    write_types(f"{folder}/types/1")
    write_warmup(f"{folder}/types/1")
    write_types(f"{folder}/cold/1")
    write_warmup(f"{folder}/cold/1", broken=True)


if __name__ == "__main__":
    main(sys.argv[1])
