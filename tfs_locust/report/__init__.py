"""Who is told: the result as plain data, and its renderings. Knows nothing of Locust."""
