"""Reading Python without running it: parsed modules, their facts, and the index over all of them."""
