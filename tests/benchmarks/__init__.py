"""What docs/performance.md says, measured. Run one with `python -m tests.benchmarks.<name>`; pytest does not collect them."""
