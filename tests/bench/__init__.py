"""Benchmarks: ``make bench``. Ratios against peers in the same run, medians of several, billing on."""
