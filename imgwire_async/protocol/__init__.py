"""WHAT is said: requests and replies as values, and how models become JSON and back. No I/O."""
