"""Benchmarks: pytest-benchmark modules here, load runs against other stores in `load/`."""
