"""Commands that measure: `python -m benchmarks.speed` and `python -m benchmarks.quality`."""
