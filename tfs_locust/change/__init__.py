"""What is done to a server on purpose while it is under load, and taken back afterwards."""
