"""What web frameworks have users write again and again, once. Each module imports its own framework, and is loaded by name alone.

`http`: an error as an HTTP answer, for every framework. `fastapi`: the client as a dependency. `django`: a storage backend.
"""
