"""Batch runs: upload many files, note each of them in a journal, and continue after any interruption."""
