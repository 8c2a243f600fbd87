"""MainPC's way to the memory kept on PC2, and the running conversation."""
