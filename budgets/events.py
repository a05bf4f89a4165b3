"""What others may want to hear of, sent inside the transaction that does it: a receiver that fails undoes it."""

from django.dispatch import Signal

#: An increase was asked for or decided; `increase`: as it is now, `at`: when.
increase_changed = Signal()
