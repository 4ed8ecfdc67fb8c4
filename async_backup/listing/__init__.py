"""What is in a destination and what is in an archive, without fetching archives."""
