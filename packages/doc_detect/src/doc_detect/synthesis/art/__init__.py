"""Pictures and ornaments drawn by procedure: each function returns ink on white, whose extent is its box."""
