"""Pictures in a Django project, in the folder above: `IMGWIRE_API_KEY=... gunicorn django_site.wsgi` or `uvicorn django_site.asgi:application`."""
