"""Features: backbones, extraction and the cache."""
