"""Text to activations. The only place that imports nnsight."""
