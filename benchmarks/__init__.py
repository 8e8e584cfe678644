"""Compare the speed of the package with that of raw libraries in the same run: `python -m benchmarks`."""
