"""The URLs of the views."""

from django.urls import path

from . import views

urlpatterns = [
    path("pictures", views.receive_body),
    path("pictures/<uuid:image_id>", views.show),
    path("form", views.receive_form),
    path("upload-token", views.make_token),
]
