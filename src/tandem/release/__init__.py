"""Releases: what changed, what that means for each agent, and where the code of a release is kept."""
