"""Locust as users start it: real processes against the embedded server."""
