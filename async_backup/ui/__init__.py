"""Listeners that show events to people and programs."""
