"""The settings of this project."""

import os
from pathlib import Path

SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "for trying it out")
ALLOWED_HOSTS = ["localhost", "127.0.0.1"]
ROOT_URLCONF = "django_site.urls"
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "imgwire_async.integrations.django.ErrorMiddleware",
]
STORAGES = {
    "default": {
        "BACKEND": "imgwire_async.integrations.django.ImgwireStorage",
        "OPTIONS": {"url_rules": {"preset": "thumbnail"}},
    },
}
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).with_name("templates")],
    },
]
USE_TZ = True
