"""What `bench` calls."""
