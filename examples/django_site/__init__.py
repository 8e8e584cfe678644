"""Pictures in a Django project.

Run `gunicorn django_site.wsgi` or `uvicorn django_site.asgi:application` in the folder above.
"""
