"""Metrics: what is measured, by its published definition."""
