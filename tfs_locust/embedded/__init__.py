"""A small server with TensorFlow Serving's interfaces, for demos and tests; never what is measured."""
