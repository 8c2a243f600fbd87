"""Scheduled and background work (PC2)."""
