"""Measuring what a backup to a server is made of, and which part holds it back."""
