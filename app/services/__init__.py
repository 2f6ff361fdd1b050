"""Services: what Footnote does; each module one verb or one noun."""
