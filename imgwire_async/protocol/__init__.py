"""Classes for requests and responses, and the conversion between JSON and models. Nothing here does I/O."""
