"""Integrations with web frameworks.

`http` turns errors into HTTP responses for any framework. `fastapi` provides the client as a dependency.
`django` has a storage backend. `fastapi` and `django` import their frameworks. This package itself imports
neither.
"""
