"""Doors to the world outside of the household."""
