"""Integrations with web frameworks.

`http` turns errors into HTTP responses for any framework. `fastapi` provides the client as a dependency.
`django` has a storage backend. Each module imports its own framework, so this package imports none of them.
"""
