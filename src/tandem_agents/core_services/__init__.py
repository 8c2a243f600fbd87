"""The front door, the models' owner and the two views of the whole (MainPC)."""
