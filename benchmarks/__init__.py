"""Speed as a ratio to the raw libraries, measured in the same run; `python -m benchmarks` runs all of it."""
