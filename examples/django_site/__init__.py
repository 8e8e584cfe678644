"""Pictures in a Django project: `gunicorn django_site.wsgi` or `uvicorn django_site.asgi:application`, one folder up."""
