"""Providers: the concrete models behind the ports."""
