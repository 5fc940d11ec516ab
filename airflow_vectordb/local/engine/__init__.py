"""What does the work behind the endpoints."""
