"""The operations of the API. A method sends a request through a `Transport`, and decodes the response."""
