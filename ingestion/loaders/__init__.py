"""Loaders: the bytes of one format to text with structure."""
