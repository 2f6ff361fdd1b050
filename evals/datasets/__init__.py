"""Data sets: what a suite is measured on, read from folders."""
