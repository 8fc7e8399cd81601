"""Instruments: a session, methods, views and a widget, composed."""
