"""Accounts: one email address, one account, and times in its own zone."""

import pytest
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.db import IntegrityError

User = get_user_model()


def log_in(client, email, password="correct horse"):
    return client.post("/login/?next=/account/", {"username": email, "password": password})


@pytest.mark.parametrize("typed", ["alice@example.com", "Alice@Example.COM", "  ALICE@example.com "])
def test_login_is_by_email_whatever_its_case(client, owner, typed):
    response = log_in(client, typed)
    assert response.status_code == 302 and response.url == "/account/"
    assert owner.email in client.get("/account/").content.decode()


@pytest.mark.parametrize(
    ("email", "password"), [("alice@example.com", "wrong"), ("nobody@example.com", "correct horse")]
)
def test_a_failed_login_does_not_tell_which_part_was_wrong(client, owner, email, password):
    html = log_in(client, email, password).content.decode()
    assert "This email address and password do not match an account." in html


def test_a_closed_account_cannot_log_in(client, owner):
    owner.is_active = False
    owner.save()
    assert log_in(client, owner.email).status_code == 200
    assert "_auth_user_id" not in client.session


def test_login_never_leads_to_another_site(client, owner):
    response = client.post(
        "/login/", {"username": owner.email, "password": "correct horse", "next": "https://evil.example/"}
    )
    assert response.url == "/"


def test_logging_out_needs_a_post_and_ends_the_session(client, owner):
    client.force_login(owner)
    assert client.get("/logout/").status_code == 405
    assert client.post("/logout/").url == "/login/"
    assert client.get("/").status_code == 302


def test_one_account_for_an_address_in_any_case(owner):
    with pytest.raises(IntegrityError):
        User.objects.create_user("ALICE@example.com", "x")


def test_an_account_needs_an_address(db):
    with pytest.raises(ValueError, match="email"):
        User.objects.create_user("", "x")


def test_the_first_account_takes_an_email_and_a_password_only(db, monkeypatch):
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", "correct horse")
    call_command("createsuperuser", interactive=False, email="first@example.com", verbosity=0)
    account = User.objects.get(email="first@example.com")
    assert account.is_superuser and account.is_staff and account.check_password("correct horse")


def test_people_set_their_own_time_zone(client, owner):
    client.force_login(owner)
    client.post("/account/", {"first_name": "Alice", "last_name": "", "time_zone": "Pacific/Auckland"})
    owner.refresh_from_db()
    assert owner.time_zone == "Pacific/Auckland"
    html = client.post("/account/", {"time_zone": "Mars/Olympus"}).content.decode()
    assert "not one of the available choices" in html


def test_nobody_becomes_staff_through_the_profile(client, owner):
    client.force_login(owner)
    client.post("/account/", {"time_zone": "UTC", "is_staff": "on", "is_superuser": "on", "email": "x@example.com"})
    owner.refresh_from_db()
    assert (owner.is_staff, owner.is_superuser, owner.email) == (False, False, "alice@example.com")


def test_a_zone_that_tables_no_longer_know_does_not_lock_anyone_out(client, owner):
    User.objects.filter(pk=owner.pk).update(time_zone="Mars/Olympus")
    client.force_login(owner)
    assert client.get("/").status_code == 200
    assert client.get("/account/").status_code == 200


def test_the_password_can_be_changed_and_a_weak_one_is_refused(client, owner):
    client.force_login(owner)
    fields = {"old_password": "correct horse", "new_password1": "12345", "new_password2": "12345"}
    assert "too short" in client.post("/account/password/", fields).content.decode()
    fields["new_password1"] = fields["new_password2"] = "battery staple 42"
    assert client.post("/account/password/", fields).url == "/account/"
    assert client.get("/").status_code == 200, "the session goes on"
    owner.refresh_from_db()
    assert owner.check_password("battery staple 42")


class TestAdmin:
    @pytest.fixture(autouse=True)
    def logged_in(self, client, staff):
        client.force_login(staff)

    def test_an_account_is_made_by_email_without_a_user_name(self, client):
        html = client.get("/admin/accounts/user/add/").content.decode()
        assert 'name="email"' in html and 'name="username"' not in html
        response = client.post(
            "/admin/accounts/user/add/",
            {
                "email": "new@example.com",
                "time_zone": "UTC",
                "usable_password": "true",
                "password1": "battery staple 42",
                "password2": "battery staple 42",
            },
        )
        assert response.status_code == 302, response.content.decode()
        assert User.objects.get(email="new@example.com").check_password("battery staple 42")

    def test_the_same_address_in_other_letters_is_refused_in_words(self, client, owner):
        response = client.post(
            "/admin/accounts/user/add/",
            {
                "email": "Alice@example.com",
                "time_zone": "UTC",
                "usable_password": "true",
                "password1": "battery staple 42",
                "password2": "battery staple 42",
            },
        )
        assert "An account with this email address exists already." in response.content.decode()

    def test_an_account_is_closed_and_not_deleted(self, client, owner):
        assert client.get(f"/admin/accounts/user/{owner.pk}/change/").status_code == 200
        assert client.post(f"/admin/accounts/user/{owner.pk}/delete/", {"post": "yes"}).status_code == 403
        assert User.objects.filter(pk=owner.pk).exists()


def test_the_admin_has_no_login_page_of_its_own(client, owner):
    assert client.get("/admin/login/?next=/admin/").url == "/login/?next=/admin/"
    client.force_login(owner)
    response = client.get("/admin/", follow=True)
    assert response.status_code == 403
    assert "may not see this page" in response.content.decode()
