"""The Locust shell: users, options and the wiring of events. The only folder that imports Locust."""
