"""Widgets as the browser sees them: traits in, pictures out. No torch, no nnsight, no altair."""
