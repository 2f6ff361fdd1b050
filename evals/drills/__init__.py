"""Drills: what must hold while an installation is under fire."""
