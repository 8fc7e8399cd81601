"""Frames to Altair charts, as pure functions. No torch, no widgets."""
