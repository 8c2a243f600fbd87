"""How a process is attributed to the instance it descends from. Imports nothing, for those who start processes first."""

MARK = "TANDEM_INSTANCE"
"""The environment variable that holds the identity of the instance."""
