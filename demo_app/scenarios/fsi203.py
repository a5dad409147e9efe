"""FSI203: a transaction waits for something that is no database."""

from __future__ import annotations

import time

from ..models import db
from .book import Taster
from .scenario import Scenario
from .scenario import Way


def ask_another_service() -> None:
    time.sleep(0.6)


def wait_in_a_transaction() -> str:
    name = str(db.get_or_404(Taster, 1).name)
    ask_another_service()
    return name


def wait_without_one() -> str:
    name = str(db.get_or_404(Taster, 1).name)
    db.session.commit()
    ask_another_service()
    return name


scenario = Scenario(
    code="FSI203",
    title="A transaction that waits for somebody else",
    look_at=(
        "The timeline shows a long transaction with nothing in it. All that time"
        " it kept a connection, and on a busy database its locks."
    ),
    fault=Way(wait_in_a_transaction, shown=(ask_another_service,)),
    fixed=Way(wait_without_one, shown=(ask_another_service,)),
)
