"""The engines behind the endpoints."""
