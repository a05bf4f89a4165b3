"""manage.py record_spool: record what stands in the spool."""

from pathlib import Path

from django.conf import settings
from django.core.management.base import CommandError

from tracking import recorder, spool
from tracking.commands import DatabaseCommand


class Command(DatabaseCommand):
    help = "Record the events that stand in the spool, of living and dead processes alike. Safe to run at any time."

    def add_arguments(self, parser):
        parser.add_argument(
            "--rejected", action="store_true", help="try those again that could not be recorded, from rejected/"
        )

    def handle(self, *, rejected, **options):
        folder = Path(settings.SPOOL_DIR)
        try:
            if rejected:
                self.stdout.write(f"{recorder.requeue_rejected(folder)} rejected events go back into the spool.")
            done = recorder.drain_folder(folder, batch_size=settings.RECORDER_BATCH_SIZE)
        except recorder.DatabaseAway as error:
            raise CommandError(f"The database does not take events now; they stay in {folder}. {error}") from error
        except OSError as error:
            raise CommandError(f"The spool cannot be read: {error}") from error
        self.stdout.write(
            f"{done.recorded} recorded, {done.duplicates} known already, {done.conflicts} known with other content, "
            f"{done.rejected} rejected, {done.damaged} damaged. {spool.stats().backlog_bytes} bytes are left."
        )
