"""Judging: errors, defects, tables and pictures."""
