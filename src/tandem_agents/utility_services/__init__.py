"""Small helpers of MainPC."""
