"""From an archive on the server back to files: which members, which segments, and what became of them."""
