"""The audit's outputs: a page of text, JSON, SARIF and a page of HTML. Each is a pure function to a string."""
