"""Understanding and wording: what was meant, who answers it, how the answer is said (MainPC)."""
