"""The benchmarks, a module for each: see :mod:`benchmarks`."""
