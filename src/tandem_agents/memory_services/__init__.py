"""The one memory store and its cache (PC2)."""
