"""The addresses Costwatch answers at."""

from django.contrib import admin
from django.urls import include, path

from costwatch.pages import views

urlpatterns = [
    path("", views.home, name="home"),
    path("calls/<uuid:call_id>/", views.call, name="call"),
    path("", include("costwatch.accounts.urls")),
    path("admin/", admin.site.urls),
]
