"""Sinks that push incidents over HTTP: one file each, with what they share beside them."""
