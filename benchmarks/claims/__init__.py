"""The claims of the paper, checked on pictures that anyone can have: ``python -m benchmarks.claims``."""
