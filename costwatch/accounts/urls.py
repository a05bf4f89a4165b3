"""The addresses of accounts."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from costwatch.accounts import views

urlpatterns = [
    path("login/", views.LoginView.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("account/", views.account, name="account"),
    path("account/password/", views.PasswordView.as_view(), name="password_change"),
]
