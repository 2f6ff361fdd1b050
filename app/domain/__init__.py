"""The domain: what Footnote is about, in plain Python."""
