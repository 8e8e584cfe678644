"""Requests and responses as values, and the conversion between JSON and models. This package does no I/O."""
