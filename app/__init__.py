"""Footnote: answers from your documents, streaming, every sentence footnoted to the passage that supports it."""

from importlib.metadata import version

__version__ = version("footnote")
