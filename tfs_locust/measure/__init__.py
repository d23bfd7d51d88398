"""Ground: what happened. Pure; imports neither Locust nor gevent nor gRPC."""
