"""Sources that answer HTTP requests with JSON."""
