"""What to send: anything readable becomes a source, its type is read from its bytes, and one upload lives through a small state table."""
