"""Tricks for speed and memory. Nothing here changes what is computed."""
