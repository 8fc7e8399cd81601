"""Contestants that need another Python: scripts that import nothing of this package, read a file and write one."""
