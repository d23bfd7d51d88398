"""tfs_locust: a distributed load generator for TensorFlow Serving, built on Locust."""
