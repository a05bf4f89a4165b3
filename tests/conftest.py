"""What every test can use: a database of its own, a spool of its own, and a named cast."""

import sys
from pathlib import Path

import pytest

from tests import services

DATABASE_FIXTURES = {
    "db",
    "transactional_db",
    "django_db_reset_sequences",
    "django_db_serialized_rollback",
    "live_server",
}
#: What goes to every corner and takes its time for it: left to `make test-all`, which continuous integration runs too.
LONG = (
    "tests/alerts/detect/test_health.py",
    "tests/alerts/detect/test_unusual.py",
    "tests/alerts/test_admin.py",
    "tests/api/test_agreement.py",
    "tests/api/test_docs_tasks.py",
    "tests/api/test_holds.py",
    "tests/api/test_matrix.py",
    "tests/api/test_matrix_of_pages.py",
    "tests/api/test_odd_input.py",
    "tests/api/test_schema.py",
    "tests/budgets/test_admin_budgets.py",
    "tests/costwatch/test_admin.py",
    "tests/costwatch/test_alert_settings.py",
    "tests/costwatch/test_calls_pages.py",
    "tests/costwatch/test_jobs.py",
    "tests/costwatch/test_settings.py",
    "tests/costwatch/test_supervisor.py",
    "tests/costwatch/test_unmigrated.py",
    "tests/demo/test_demo.py",
    "tests/flows/test_budget_outage.py",
    "tests/test_docs_snippets.py",
    "tests/test_recordings.py",
    "tests/tracking/clients/test_websockets.py",
    "tests/tracking/usage/test_any_input.py",
    "tests/tracking/usage/test_plain.py",
)
#: Where the two databases could differ: what `make test` runs on PostgreSQL. (`make test-all`: all that touches it.)
AT_THE_DATABASE = (
    "tests/alerts/core/test_crossings.py",
    "tests/alerts/core/test_outbox.py",
    "tests/budgets/test_concurrency.py",
    "tests/budgets/test_ledger.py",
    "tests/budgets/test_operations.py",
    "tests/tracking/test_lists.py",
    "tests/tracking/test_money.py",
    "tests/tracking/test_queries.py",
    "tests/tracking/test_recording.py",
    "tests/tracking/test_repricing.py",
    "tests/tracking/test_spans.py",
)
#: What migrating fills: the same before and after every test.
KEPT_TABLES = {
    "auth_permission",
    "django_content_type",
    "django_migrations",
    "tracking_pricedmodel",
    "tracking_rate",
}


def pytest_collection_modifyitems(items):
    """Mark what touches the database: it runs on SQLite, and again on PostgreSQL."""
    for item in items:
        if item.get_closest_marker("django_db") or DATABASE_FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.database)
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.slow)
        if not item.nodeid.startswith(AT_THE_DATABASE):
            item.add_marker(pytest.mark.above_the_database)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown():
    """The recorder of a test, and the connections of its budgets, end before the test's database does."""
    if spool := sys.modules.get("tracking.spool"):
        spool.close()
    if budgets := sys.modules.get("budgets.connections"):
        budgets.shut_down()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix, worker_id):
    """SQLite in a file, not in memory: threads and child processes must see the same database."""
    from django.conf import settings
    from django.db import connections

    if connections["default"].vendor == "sqlite":
        name = str(Path(settings.DATA_DIR) / f"test-{worker_id}.sqlite3")
        settings.DATABASES["default"]["TEST"]["NAME"] = name
        connections["default"].settings_dict["TEST"]["NAME"] = name


@pytest.fixture(scope="session")
def django_db_setup(django_test_environment, django_db_blocker, django_db_modify_db_settings):
    """The test database: also for tests that use it without a marker of pytest-django, whose own fixture skips them."""
    from django.test.utils import setup_databases, teardown_databases

    with django_db_blocker.unblock():
        made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
    yield
    with django_db_blocker.unblock():
        if pool := sys.modules.get("budgets.connections"):
            pool.shut_down()
        _disconnect_the_rest()
        teardown_databases(made, verbosity=0)


def _disconnect_the_rest() -> None:
    """PostgreSQL drops no database that somebody is connected to, such as a thread that a test of outages gave up."""
    from django.db import connection

    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def keep_the_price_book():
    """Tests that commit leave the price book where it is, unless they changed it: to fill it takes half a second."""
    from django.core.management.color import no_style
    from django.db import connection
    from django.test import TransactionTestCase

    from tracking.pricing import book

    flush, setup = TransactionTestCase._fixture_teardown, TransactionTestCase.__dict__["_fixture_setup"].__func__
    before = None

    def note(cls):
        nonlocal before
        before = before or book._read_version()
        setup(cls)

    def empty(self):
        nonlocal before
        if book._read_version() == before:
            tables = [
                name for name in connection.introspection.django_table_names(True, False) if name not in KEPT_TABLES
            ]
            connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))
        else:
            flush(self)
            before = None

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_setup", classmethod(note))
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


@pytest.fixture(autouse=True)
def own_spool(settings, tmp_path):
    """Each test writes its events to a folder of its own."""
    settings.SPOOL_DIR = tmp_path / "spool"


@pytest.fixture(scope="session")
def redis_url() -> str:
    """A real Redis of the tests' own, or the test is skipped."""
    url = services.REDIS_URL
    if not services.redis_answers(url):
        pytest.skip("no Redis answers at TEST_REDIS_URL")
    return url


@pytest.fixture(autouse=True)
def own_limits():
    """No test sees limits or windows that another test's process memory kept."""
    yield
    if operations := sys.modules.get("budgets.operations"):
        operations.forget()


@pytest.fixture(autouse=True)
def own_cache():
    """What a test left in the memory of its process is not read by the next one."""
    yield
    if "django.core.cache.backends.locmem" in sys.modules:
        from django.core.cache import caches

        if type(caches["default"]).__name__ == "LocMemCache":
            caches["default"].clear()


@pytest.fixture(autouse=True)
def own_price_book():
    """Rates that a test entered, and that were rolled back with it, are not in the book of the next test."""
    yield
    from tracking.pricing import book

    book.forget()


@pytest.fixture
def owner(django_user_model):
    """Alice: spends money and owns what she made."""
    return django_user_model.objects.create_user(email="alice@example.com", password="correct horse")


@pytest.fixture
def member(django_user_model):
    """Bob: another user, who spends his own money."""
    return django_user_model.objects.create_user(email="bob@example.com", password="correct horse")


@pytest.fixture
def outsider(django_user_model):
    """Charlie: has an account and nothing else."""
    return django_user_model.objects.create_user(email="charlie@example.com", password="correct horse")


@pytest.fixture
def staff(django_user_model):
    """Dora: runs the installation."""
    return django_user_model.objects.create_superuser(email="dora@example.com", password="correct horse")


@pytest.fixture(scope="session")
def running_provider():
    """A provider on this machine that speaks both APIs, for the whole run."""
    from costwatch.demo.provider import local_provider

    with local_provider() as running:
        yield running


@pytest.fixture
def provider(running_provider):
    """The local provider, with an empty list of requests."""
    running_provider.requests.clear()
    return running_provider
