"""What to send, and when. Knows neither how it is sent nor what the results mean."""
