"""Ingestion: documents in, embedded chunks out."""
