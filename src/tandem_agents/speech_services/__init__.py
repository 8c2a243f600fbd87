"""Speech to text and back, one clip or one sentence at a time."""
