"""The archive format: plain data and functions, no event loop, nothing but files to read from."""
