"""Encoders: run events to the bytes of one wire dialect each."""
