"""The scheduled tasks as beat starts them: nothing to tell in an installation that is well, however often they run."""

import pytest

from alerts import tasks
from alerts.models import CostAlert
from tests.workspace import Workspace

pytestmark = pytest.mark.django_db
TASKS = (
    tasks.watch_forecasts, tasks.watch_spending, tasks.watch_prices, tasks.watch_health, tasks.send_summaries,
)  # fmt: skip


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name.rpartition(".")[2])
def test_a_task_that_runs_twice_tells_nothing_of_what_is_as_it_should_be(task, owner):
    Workspace().call(user=owner, feature="mail")
    assert (task(), task()) == (0, 0)
    assert not CostAlert.objects.exists()


def test_a_call_without_a_price_is_told_by_the_task(staff, owner):
    Workspace().call(user=owner, model="nobody-knows-it")
    assert tasks.watch_prices() == 1
    assert tasks.watch_prices() == 0
    assert CostAlert.objects.get().type == "unpriced"
