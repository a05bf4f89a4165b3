"""The settings that tests run on: development's, without a developer's `.env` and folders, and with a quick hasher.

Set in the environment too, so that the processes a test starts get the same.
"""

import atexit
import os
import shutil
import tempfile

os.environ["ENV_FILE"] = ""
os.environ["COSTWATCH_ENV"] = "development"
if "COSTWATCH_TEST_DIR" not in os.environ:  # made by the first process, used by those it starts
    os.environ["COSTWATCH_TEST_DIR"] = tempfile.mkdtemp(prefix="costwatch-test-")
    atexit.register(shutil.rmtree, os.environ["COSTWATCH_TEST_DIR"], ignore_errors=True)
os.environ["DATA_DIR"] = os.environ["COSTWATCH_TEST_DIR"]

from costwatch.settings import *  # noqa: E402, F403
from costwatch.settings import ALLOWED_HOSTS, LOGGING, STORAGES  # noqa: E402

ALLOWED_HOSTS = [*ALLOWED_HOSTS, "testserver"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
STORAGES = {**STORAGES, "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}}
# A folder of its own, which stays empty: a test that starts all of Costwatch fills the one of the checkout meanwhile.
STATIC_ROOT = os.path.join(os.environ["COSTWATCH_TEST_DIR"], "static")
os.makedirs(STATIC_ROOT, exist_ok=True)
# To the root logger, where pytest listens.
LOGGING = {**LOGGING, "loggers": {name: {"level": "INFO", "propagate": True} for name in LOGGING["loggers"]}}
