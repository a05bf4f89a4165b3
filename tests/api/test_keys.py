"""Logins and keys: hashed, shown once, rotated, revoked at once, throttled."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.core.cache import cache
from django.utils import timezone

from costwatch.accounts import attempts, keys
from costwatch.accounts.models import ApiKey, LoginCount
from tests.api.conftest import DASHBOARD, Caller, key_for

pytestmark = pytest.mark.django_db

LOGIN, LOGOUT, KEYS = "/api/v1/auth/login", "/api/v1/auth/logout", "/api/v1/keys"


def login(caller: Caller, email: str, password: str, **headers):
    return caller.ask("POST", LOGIN, {"email": email, "password": password}, **headers)


def test_a_login_whatever_the_case_of_the_email(anonymous, owner):
    assert login(anonymous, "Alice@Example.com ", "correct horse").status_code == 200


@pytest.mark.parametrize("email", ["alice@example.com", "nobody@example.com"])
def test_a_wrong_password_and_an_unknown_account_are_told_alike(anonymous, owner, email):
    response = login(anonymous, email, "wrong")
    assert response.status_code == 401
    assert response.json()["detail"] == "This email address and password do not match an account."
    assert response.headers["WWW-Authenticate"] == "Bearer"


def test_a_closed_account_does_not_log_in_and_its_tokens_are_dead(anonymous, alice, owner):
    owner.is_active = False
    owner.save()
    assert login(anonymous, owner.email, "correct horse").status_code == 401
    assert alice.ask("GET", DASHBOARD).status_code == 401


def test_logout_kills_the_token_at_once(alice):
    assert alice.ask("GET", DASHBOARD).status_code == 200
    assert alice.ask("POST", LOGOUT).status_code == 204
    assert alice.ask("GET", DASHBOARD).status_code == 401


def test_a_new_password_kills_logins_but_not_keys(alice, owner):
    key = Caller("key", key_for(owner, "read"))
    owner.set_password("another horse")
    owner.save()
    assert alice.ask("GET", DASHBOARD).status_code == 401
    assert key.ask("GET", DASHBOARD).status_code == 200


def test_logins_are_throttled_for_an_account_wherever_they_come_from(anonymous, owner, settings):
    settings.LOGINS_PER_MINUTE, settings.PROXIES = 3, 1
    for _ in range(3):
        assert login(anonymous, owner.email, "wrong").status_code == 401
    response = login(anonymous, owner.email.upper(), "correct horse")
    assert response.status_code == 429
    assert 1 <= int(response.headers["Retry-After"]) <= 60
    assert login(anonymous, "bob@example.com", "wrong").status_code == 401, "another account is not concerned"


def test_logins_are_throttled_for_an_address_whatever_the_account(anonymous, settings):
    settings.LOGINS_PER_MINUTE_AND_ADDRESS = 3
    statuses = [login(anonymous, f"user{n}@example.com", "wrong").status_code for n in range(4)]
    assert statuses == [401, 401, 401, 429]
    forged = {"X-Forwarded-For": "203.0.113.9"}
    assert login(anonymous, "bob@example.com", "wrong", **forged).status_code == 429, "a header is not believed"


def test_requests_of_a_key_are_throttled(owner, alice, settings):
    settings.API_REQUESTS_PER_MINUTE = 2
    key = Caller("key", key_for(owner, "read"))
    assert [key.ask("GET", DASHBOARD).status_code for _ in range(3)] == [200, 200, 429]
    assert alice.ask("GET", DASHBOARD).status_code == 200


def test_a_cache_that_does_not_answer_turns_nobody_away(alice, monkeypatch):
    def away(*_args, **_kwargs):
        raise ConnectionError

    monkeypatch.setattr(cache, "incr", away, raising=False)
    assert alice.ask("GET", DASHBOARD).status_code == 200


def test_a_key_is_shown_once_and_only_its_hash_is_kept(alice):
    made = alice.ask("POST", KEYS, {"name": "laptop", "scopes": ["read"], "environment": "dev"})
    assert made.status_code == 201, made.content
    secret = made.json()["key"]
    assert secret.startswith("cw_") and len(secret) > 60
    assert made.json()["id"].startswith("key_")
    listed = alice.ask("GET", KEYS)
    assert secret not in listed.content.decode()
    row = ApiKey.objects.get(kind="key")
    assert secret not in str([getattr(row, field.name) for field in row._meta.concrete_fields])
    shown = listed.json()["keys"][0]
    assert (shown["name"], shown["scopes"], shown["environment"]) == ("laptop", ["read"], "dev")
    assert shown["secrets"][0]["prefix"] == secret[:15] and shown["secrets"][0]["expires_at"] is None


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scopes": ["read"]}, "name"),
        ({"name": "x"}, "scopes"),
        ({"name": "x", "scopes": []}, "scopes"),
        ({"name": "x", "scopes": ["write"]}, "scopes.0"),
        ({"name": "x", "scopes": ["read"], "expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"name": "x", "scopes": ["read"], "user": 1}, "user"),
        ({"name": "x\0", "scopes": ["read"]}, "name"),
    ],
)
def test_what_is_wrong_with_a_new_key_is_named(alice, body, field):
    response = alice.ask("POST", KEYS, body)
    assert response.status_code == 400, response.content
    assert field in response.json()["errors"]


def test_a_key_may_do_what_its_scopes_say(owner):
    read = Caller("read", key_for(owner, "read"))
    assert read.ask("GET", DASHBOARD).status_code == 200
    for method, path in (("GET", KEYS), ("POST", KEYS), ("PUT", "/api/cost-monitoring/budget")):
        response = read.ask(method, path, {})
        assert response.status_code == 403
        assert "lacks the scope 'admin'" in response.json()["detail"]
    assert Caller("ingest", key_for(owner, "ingest")).ask("GET", DASHBOARD).status_code == 403


def test_a_key_cannot_make_one_that_may_do_more(owner):
    admin = Caller("admin", key_for(owner, "admin"))
    assert admin.ask("POST", KEYS, {"name": "more", "scopes": ["read"]}).status_code == 400
    assert admin.ask("POST", KEYS, {"name": "same", "scopes": ["admin"]}).status_code == 201


def test_rotation_keeps_two_secrets_live_until_the_old_one_is_revoked(alice):
    first = alice.ask("POST", KEYS, {"name": "ci", "scopes": ["read"]}).json()
    second = alice.ask("POST", f"{KEYS}/{first['id']}/rotate").json()
    assert second["id"] == first["id"] and second["key"] != first["key"]
    old, new = Caller("old", first["key"]), Caller("new", second["key"])
    assert [one.ask("GET", DASHBOARD).status_code for one in (old, new)] == [200, 200]
    refused = alice.ask("POST", f"{KEYS}/{first['id']}/rotate")
    assert refused.status_code == 400 and "generation 1" in refused.json()["detail"]
    assert alice.ask("POST", f"{KEYS}/{first['id']}/revoke", {"generation": 1}).json() == {"revoked": 1}
    assert [one.ask("GET", DASHBOARD).status_code for one in (old, new)] == [401, 200]
    assert alice.ask("POST", f"{KEYS}/{first['id']}/rotate").status_code == 201


def test_a_revoked_key_is_dead_at_once_and_says_so(alice, owner):
    made = alice.ask("POST", KEYS, {"name": "gone", "scopes": ["read"]}).json()
    key = Caller("key", made["key"])
    assert key.ask("GET", DASHBOARD).status_code == 200
    assert alice.ask("POST", f"{KEYS}/{made['id']}/revoke", {}).json() == {"revoked": 1}
    response = key.ask("GET", DASHBOARD)
    assert response.status_code == 401 and "revoked" in response.json()["detail"]
    assert alice.ask("POST", f"{KEYS}/{made['id']}/rotate").status_code == 404, "what is revoked is not rotated"


def test_a_key_that_has_expired_is_not_accepted(owner):
    key = Caller("key", key_for(owner, "read", expires_at=timezone.now() + timedelta(hours=1)))
    assert key.ask("GET", DASHBOARD).status_code == 200
    ApiKey.objects.update(expiry=timezone.now() - timedelta(seconds=1))
    assert "expired" in key.ask("GET", DASHBOARD).json()["detail"]


def test_keys_of_others_are_not_there(alice, bob):
    made = alice.ask("POST", KEYS, {"name": "mine", "scopes": ["read"]}).json()
    assert bob.get(KEYS) == {"keys": [], "next": None}
    for what in ("rotate", "revoke"):
        assert bob.ask("POST", f"{KEYS}/{made['id']}/{what}", {}).status_code == 404
    assert Caller("key", made["key"]).ask("GET", DASHBOARD).status_code == 200


def test_the_last_use_is_written_at_most_once_a_minute(owner):
    key = Caller("key", key_for(owner, "read"))
    key.ask("GET", DASHBOARD)
    first = ApiKey.objects.get().last_used_at
    assert first is not None
    key.ask("GET", DASHBOARD)
    assert ApiKey.objects.get().last_used_at == first
    ApiKey.objects.update(last_used_at=first - timedelta(seconds=61))
    key.ask("GET", DASHBOARD)
    assert ApiKey.objects.get().last_used_at > first


@pytest.mark.parametrize(
    "header", ["Bearer", "Bearer a b", "Bearer cw_wrong", "Bearer \u00e4", "Bearer " + "x" * 5000, "Bearer cw_\x01"]
)
def test_odd_tokens_are_refused(anonymous, db, header):
    response = anonymous.client.get(DASHBOARD, headers={"authorization": header})
    assert response.status_code == 401, response.content
    assert response.headers["Content-Type"] == "application/problem+json"


def test_a_browser_session_needs_its_csrf_token_to_change_anything(owner):
    from django.test import Client

    browser = Client(enforce_csrf_checks=True)
    browser.force_login(owner)
    assert browser.get(DASHBOARD).status_code == 200
    put = {"path": "/api/cost-monitoring/budget", "data": '{"dailyLimit": 5}', "content_type": "application/json"}
    assert browser.put(**put).status_code == 403
    browser.get("/account/")
    token = browser.cookies["csrftoken"].value
    assert browser.put(**put, headers={"X-CSRFToken": token}).status_code == 200


def test_an_account_has_a_bounded_number_of_keys(owner, monkeypatch):
    monkeypatch.setattr(keys, "MAX_KEYS", 2)
    key_for(owner, "read")
    key_for(owner, "read")
    with pytest.raises(Exception, match="at most 2 keys"):
        key_for(owner, "read")


def test_staff_see_keys_in_the_admin_and_revoke_them(client, staff, owner):
    key = Caller("key", key_for(owner, "read"))
    row = ApiKey.objects.get()
    client.force_login(staff)
    page = client.get("/admin/accounts/apikey/").content.decode()
    assert row.public_id in page and "accepted" in page and key.token not in page
    assert client.get("/admin/accounts/apikey/add/").status_code == 403
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": row.public_id})
    assert key.ask("GET", DASHBOARD).status_code == 200, "nothing was selected"
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": row.pk})
    assert key.ask("GET", DASHBOARD).status_code == 401


def test_logins_in_a_browser_are_throttled_together_with_those_of_the_api(anonymous, staff, settings):
    """(The admin's login is this page too.)"""
    address = "/login/"
    assert anonymous.client.get("/admin/login/").url.startswith(address)
    settings.LOGINS_PER_MINUTE = 3
    login(anonymous, staff.email, "wrong")
    browser = anonymous.client
    for _ in range(2):
        browser.post(address, {"username": staff.email.upper(), "password": "wrong"})
    cache.clear()  # what one process remembers does not decide
    page = browser.post(address, {"username": staff.email, "password": "correct horse"})
    assert page.status_code == 200 and "_auth_user_id" not in browser.session
    assert "Wait a minute" in page.content.decode()
    assert login(anonymous, staff.email, "correct horse").status_code == 429
    LoginCount.objects.update(minute=0)
    assert browser.post(address, {"username": staff.email, "password": "correct horse"}).status_code == 302


@pytest.mark.django_db(transaction=True)
def test_logins_at_once_are_all_counted():
    with ThreadPoolExecutor(4) as pool:
        counts = list(pool.map(lambda _: counted(), range(20)))
    assert sorted(counts) == list(range(1, 21)) or len(set(counts)) >= 19, "a minute may have ended in between"


def counted() -> int:
    from django.db import connection

    try:
        return attempts.count("login-account", "alice@example.com")
    finally:
        connection.close()
