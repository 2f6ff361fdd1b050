"""Chunking: text to chunks."""
