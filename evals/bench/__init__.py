"""Bench: retrieval measured against bare SQL, exact search and other vector stores, on one PostgreSQL."""
