"""All scenarios, in the order of their codes."""

from __future__ import annotations

from . import fsi101
from . import fsi102
from . import fsi103
from . import fsi104
from . import fsi105
from . import fsi106
from . import fsi107
from . import fsi108
from . import fsi109
from . import fsi201
from . import fsi202
from . import fsi203
from . import fsi204
from . import fsi205
from . import fsi206
from . import fsi301
from . import fsi302
from . import fsi303
from . import fsi304
from . import fsi305
from . import fsi401
from . import fsi402
from . import fsi501
from . import fsi502
from .scenario import Scenario

SCENARIOS: dict[str, Scenario] = {
    module.scenario.code: module.scenario
    for module in (
        fsi101,
        fsi102,
        fsi103,
        fsi104,
        fsi105,
        fsi106,
        fsi107,
        fsi108,
        fsi109,
        fsi201,
        fsi202,
        fsi203,
        fsi204,
        fsi205,
        fsi206,
        fsi301,
        fsi302,
        fsi303,
        fsi304,
        fsi305,
        fsi401,
        fsi402,
        fsi501,
        fsi502,
    )
}
