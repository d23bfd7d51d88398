"""How a request is sent: one interface, several engines. Knows bytes and outcomes, not models and not Locust."""
