"""Verification: what lies on the server is compared with what was recorded when it was stored."""
