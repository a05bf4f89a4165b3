"""`manage.py` as it is used in a shell."""

import subprocess
import sys
from pathlib import Path

MANAGE = Path(__file__).parent.parent / "manage.py"


def test_output_that_nobody_reads_to_its_end_is_no_error():
    command = [sys.executable, str(MANAGE), "diffsettings", "--all"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        process.stdout.close()  # as head does when it has enough
        complaints = process.stderr.read()
    assert complaints == ""
    assert process.returncode == 141
