"""The operations of the service. Each sends a request through a `Transport` and decodes the response."""
