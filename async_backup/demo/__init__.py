"""A server to try things on: an SSH server of our own that runs inside this program, on the loopback."""
