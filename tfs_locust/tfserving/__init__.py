"""Ground: what is known of TensorFlow Serving: its messages, signatures, encodings and control calls."""
