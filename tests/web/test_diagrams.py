"""The geometry of the drawings: nothing overlaps, and trouble is drawn as such."""

from __future__ import annotations

import itertools
import typing as t

import handmade
import pytest

from flask_session_inspector import RequestRecord
from flask_session_inspector.web.drawing.axis import Scale
from flask_session_inspector.web.drawing.diagrams import scope
from flask_session_inspector.web.drawing.flow import flow
from flask_session_inspector.web.drawing.mini import mini
from flask_session_inspector.web.drawing.scope_parts import Scope
from flask_session_inspector.web.drawing.timeline import RIGHT
from flask_session_inspector.web.drawing.timeline import timeline

NOTHING: frozenset[int] = frozenset()


def draw(*records: RequestRecord, **options: t.Any) -> Scope:
    """Draw records that are given oldest first."""
    drawn = scope(reversed(records), **options)
    assert drawn is not None
    return drawn


def pinned(number: int) -> RequestRecord:
    return handmade.record(
        number, handmade.raw_session(1001, first_request_id="earlier")
    )


class TestScope:
    def test_no_requests(self) -> None:
        command = handmade.record(1, handmade.session(1), kind="cli")
        assert scope([]) is None
        assert scope([command]) is None

    def test_healthy(self) -> None:
        drawn = draw(*(handmade.record(n, handmade.session(n)) for n in range(1, 5)))
        assert [tile.record_id for tile in drawn.tiles] == ["r1", "r2", "r3", "r4"]
        assert [vessel.label for vessel in drawn.vessels] == ["S1", "S2", "S3", "S4"]
        assert [vessel.end.label for vessel in drawn.vessels] == ["removed"] * 4
        assert [bar.name for bar in drawn.proxies] == ["db.session"]
        assert drawn.proxies[0].facts == "scoped_session 0x7f3a9c1e2b50"
        assert not any(wire.tone or wire.dotted for wire in drawn.wires)
        assert not drawn.has_shared
        assert not drawn.has_open
        assert not drawn.has_outside
        assert all(vessel.cap and not vessel.fray for vessel in drawn.vessels)

    def test_only_the_last_eight(self) -> None:
        records = [handmade.record(n, handmade.session(n)) for n in range(1, 21)]
        drawn = draw(*records)
        assert drawn.count == 8
        assert drawn.tiles[0].record_id == "r13"
        assert drawn.tiles[-1].record_id == "r20"

    @pytest.mark.parametrize("number", range(1, 9))
    def test_columns_stay_apart_and_inside(self, number: int) -> None:
        drawn = draw(*(handmade.record(n, handmade.session(n)) for n in range(number)))
        boxes = [(tile.x, tile.width) for tile in drawn.tiles]
        for (x, width), (following, _) in itertools.pairwise(boxes):
            assert x + width < following
        assert boxes[0][0] >= 80
        assert sum(boxes[-1]) <= 1072

    def test_neighbours_meet_in_one_vessel(self) -> None:
        own = handmade.record(1, handmade.session(1))
        drawn = draw(own, pinned(2), pinned(3), pinned(4))
        shared = next(each for each in drawn.vessels if each.shared)
        assert shared.flag == "shared by 3 requests"
        assert shared.is_wide
        assert shared.queries == "3 statements from 3 requests"
        assert shared.end.label == "never closed"
        tiles = drawn.tiles[1:]
        middle = (tiles[0].x + tiles[-1].x + tiles[-1].width) / 2
        assert shared.centre == pytest.approx(middle, abs=0.2)
        arrows = [wire for wire in drawn.wires if wire.tone == "bad" and wire.head]
        assert len(arrows) == 3
        assert len(drawn.vessels) == 2

    def test_distant_requests_lead_to_the_first_ones_vessel(self) -> None:
        drawn = draw(pinned(1), handmade.record(2, handmade.session(2)), pinned(3))
        shared = next(each for each in drawn.vessels if each.shared)
        assert shared.centre == pytest.approx(
            drawn.tiles[0].x + drawn.tiles[0].width / 2, abs=0.2
        )
        arrows = [wire for wire in drawn.wires if wire.tone == "bad" and wire.head]
        assert len(arrows) == 2

    def test_red_lies_on_top(self) -> None:
        drawn = draw(pinned(1), handmade.record(2, handmade.session(2)), pinned(3))
        tones = [wire.tone for wire in drawn.wires]
        assert tones == sorted(tones)
        assert "bad" in tones

    def test_shared_with_requests_that_are_not_drawn(self) -> None:
        drawn = draw(handmade.record(1, handmade.session(7)), users={7: 3})
        assert drawn.vessels[0].flag == "shared by 3 requests"
        assert drawn.has_shared

    def test_unremoved_has_no_bottom(self) -> None:
        left = handmade.session(1, ended="open")
        vessel = draw(handmade.record(1, left)).vessels[0]
        assert vessel.is_open
        assert not vessel.cap
        assert vessel.fray
        assert not vessel.outline.endswith("z")
        assert vessel.end.label == "not removed"

    def test_nested_contexts_are_two_vessels_in_one_column(self) -> None:
        record = handmade.record(
            1, handmade.session(1), handmade.session(2, context=1), contexts=2
        )
        first, second = draw(record).vessels
        assert first.bottom < second.y
        assert first.x == second.x
        assert (first.aside, second.aside) == ("ctx 1", "ctx 2")

    def test_beyond_two_sessions_the_troubled_one_is_drawn(self) -> None:
        sessions = [handmade.session(n) for n in range(1, 40)]
        bad = handmade.session(40, ended="open")
        drawn = draw(handmade.record(1, *sessions, bad))
        assert [vessel.label for vessel in drawn.vessels] == ["S40", "S1"]
        assert [text for _, _, text in drawn.overflow] == ["+38 more"]
        assert drawn.stops[0].more == 38

    def test_outside_the_proxy_is_a_dotted_red_stub(self) -> None:
        drawn = draw(
            handmade.record(1, handmade.session(1)),
            handmade.record(2, handmade.raw_session(2, ended="closed")),
        )
        dotted = [wire for wire in drawn.wires if wire.dotted]
        assert [wire.tone for wire in dotted] == ["bad"]
        assert drawn.stops[0].bypass
        assert not drawn.stops[1].bypass

    def test_without_any_proxy_nothing_is_red(self) -> None:
        plain = handmade.session(
            1, origin="factory", registry=None, proxy_id=None, ended="closed"
        )
        drawn = draw(handmade.record(1, plain))
        assert not drawn.proxies[0].is_proxy
        assert drawn.proxies[0].text == "each session came from a sessionmaker"
        assert {wire.tone for wire in drawn.wires} == {""}
        assert not drawn.stops[0].bypass

    def test_an_extension_without_a_proxy(self) -> None:
        # As Flask-SQLAlchemy-Lite has it.
        plain = handmade.session(
            1, origin="factory", registry=None, proxy_id=None, ended="closed"
        )
        holders = [
            handmade.holder('app.extensions["sqlalchemy"]', proxy_id=None),
            handmade.holder('admin view "user"', proxy_id=None),
        ]
        (bar,) = draw(handmade.record(1, plain), holders=holders).proxies
        assert bar.text == (
            "each session came from a sessionmaker; db is held by admin view user"
        )
        assert bar.facts == "What scopes a session here is the SQLAlchemy extension."

    def test_a_watched_registry_is_known_by_its_name(self) -> None:
        watched = handmade.holder('watched registry "reporting"', proxy_id=0xBEEF)
        drawn = draw(handmade.record(1), holders=[watched])
        assert [bar.name for bar in drawn.proxies] == ["reporting"]
        assert "held by" not in drawn.proxies[0].text

    def test_a_proxy_that_was_not_used_is_only_named(self) -> None:
        watched = handmade.holder('watched registry "reporting"', proxy_id=0xBEEF)
        drawn = draw(handmade.record(1, handmade.session(1)), holders=[watched])
        assert [bar.name for bar in drawn.proxies] == ["db.session"]
        assert "reporting was not used" in drawn.proxies[0].facts

    def test_a_held_proxy_of_unknown_name(self) -> None:
        held = handmade.holder('admin view "user"', proxy_id=0xBEEF)
        drawn = draw(handmade.record(1), holders=[held])
        assert drawn.proxies[0].name == "scoped_session"

    def test_several_proxies_stand_side_by_side(self) -> None:
        other = {"registry": "reporting", "proxy_id": 0xBEEF}
        drawn = draw(
            handmade.record(1, handmade.session(1)),
            handmade.record(2, handmade.session(2), handmade.session(3, **other)),
            holders=[
                handmade.holder(),
                handmade.holder('admin view "p"', verdict="pinned"),
            ],
        )
        first, second = drawn.proxies
        assert (first.name, second.name) == ("db.session", "reporting")
        assert first.x + first.width < second.x
        # The right edge is left to the holder that bypasses them.
        assert second.x + second.width < 790
        assert drawn.bypass is not None
        stubs = [wire for wire in drawn.wires if not wire.head and not wire.dotted]
        assert len(stubs) == 3

    def test_a_proxy_that_changed(self) -> None:
        drawn = draw(
            handmade.record(1, handmade.session(1)),
            handmade.record(2, handmade.session(2, proxy_id=0xBEEF)),
        )
        assert [bar.changed for bar in drawn.proxies] == [True, True]

    def test_the_holders_are_named(self) -> None:
        holders = [
            handmade.holder('app.extensions["sqlalchemy"]'),
            # The audit's page has these.
            handmade.holder("shop.models.db"),
            handmade.holder('admin view "user" > form field "posts" > query factory'),
            handmade.holder(),
            handmade.holder('admin view "order"', verdict="deprecated"),
            handmade.holder(
                'admin view "post"', holds="Session", verdict="pinned", proxy_id=None
            ),
        ]
        drawn = draw(handmade.record(1, handmade.session(1)), holders=holders)
        assert drawn.proxies[0].text == (
            "the same proxy in every request, held by the admin views user and order"
        )
        assert drawn.bypass is not None
        assert drawn.bypass.text == "admin view post bypasses it"

    def test_a_proxy_that_no_drawn_request_used(self) -> None:
        holders = [handmade.holder('app.extensions["sqlalchemy"]')]
        drawn = draw(pinned(1), holders=holders)
        assert [bar.name for bar in drawn.proxies] == ["db.session"]
        assert drawn.has_outside

    def test_stops_tell_the_same_newest_first(self) -> None:
        drawn = draw(
            handmade.record(1, handmade.session(1)),
            pinned(2),
            pinned(3),
            handmade.record(4),  # Without a session, so it is not drawn.
        )
        stops = [
            ([tile.record_id for tile in stop.tiles], [v.label for v in stop.vessels])
            for stop in drawn.stops
        ]
        assert stops == [(["r3", "r2"], ["S1001"]), (["r1"], ["S1"])]

    def test_long_paths_are_cut_and_kept_in_the_title(self) -> None:
        path = "/" + "x" * 300
        drawn = draw(
            *(handmade.record(n, handmade.session(n), path=path) for n in range(8))
        )
        assert len(drawn.tiles[0].path) <= 18
        assert drawn.tiles[0].title == f"GET {path}"


class TestTimeline:
    def test_no_database(self) -> None:
        assert timeline(handmade.record(1), idle_ms=500) is None
        assert mini(handmade.record(1), idle_ms=500) is None

    def test_zero_duration(self) -> None:
        nothing = handmade.session(
            1,
            transactions=(handmade.transaction(0.0, 0.0),),
            statements=(handmade.statement(0.0, 0.0),),
        )
        record = handmade.record(
            1,
            nothing,
            duration_ms=0.0,
            connections=(handmade.checkout(checked_out_ms=0.0, checked_in_ms=0.0),),
        )
        drawn, strip = timeline(record, idle_ms=500), mini(record, idle_ms=500)
        assert drawn is not None
        assert strip is not None
        for bar in (*drawn.bars, *strip.transactions, *strip.connections):
            assert bar.width > 0
        assert all(tick.x <= RIGHT for tick in drawn.ticks)

    def test_everything_is_inside(self) -> None:
        # The last statement ends after the record: a stream went on.
        late = handmade.session(1, statements=(handmade.statement(90.0, 40.0),))
        record = handmade.record(1, late, duration_ms=100.0)
        drawn = timeline(record, idle_ms=500)
        assert drawn is not None
        for each in (*drawn.bars, *drawn.marks):
            assert each.x + each.width <= RIGHT + 0.1
            assert each.y + 20 <= drawn.height
        assert drawn.teardown is not None
        assert drawn.teardown < RIGHT

    def test_app_contexts_have_a_lane(self) -> None:
        outer = handmade.session(1, statements=(handmade.statement(1.0, 1.0),))
        inner = handmade.session(
            2,
            context=1,
            transactions=(handmade.transaction(3.0, 5.0),),
            statements=(handmade.statement(4.0, 0.5),),
        )
        drawn = timeline(handmade.record(1, outer, inner, contexts=3), idle_ms=500)
        assert drawn is not None
        assert drawn.lanes[0].text == "app contexts"
        first, second = drawn.bars[:2]
        assert first.title.startswith("App context 1, pushed by the request, 0 ms to")
        assert second.title.startswith("App context 2, nested, shop/views.py:41, 3.0")
        assert first.x < second.x
        assert second.x + second.width < first.x + first.width
        assert drawn.lanes[1].text == "and 1 more"

    def test_only_nested_app_contexts_are_shown_where_room_is_short(self) -> None:
        record = handmade.record(1, handmade.session(1))
        drawn = timeline(record, idle_ms=500, compact=True)
        assert drawn is not None
        assert "app contexts" not in [lane.text for lane in drawn.lanes]

    def test_savepoints_and_binds_do_not_overlap(self) -> None:
        busy = handmade.session(
            1,
            transactions=(
                handmade.transaction(1, 9),
                handmade.transaction(2, 8, bind="other"),
                handmade.transaction(3, 4, nested=True),
                handmade.transaction(5, 6, nested=True),
            ),
        )
        drawn = timeline(handmade.record(1, busy), idle_ms=500, compact=True)
        assert drawn is not None
        bars = [bar for bar in drawn.bars if bar.shape.startswith("m-tx")]
        assert len(bars) == 4
        for one, other in itertools.combinations(bars, 2):
            apart = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert one.y != other.y or apart

    def test_idle_in_transaction(self) -> None:
        idle = handmade.session(
            1,
            transactions=(handmade.transaction(0, 100),),
            statements=(handmade.statement(0, 1), handmade.statement(95, 1)),
        )
        record = handmade.record(1, idle, duration_ms=100.0)
        drawn, strip = timeline(record, idle_ms=50), mini(record, idle_ms=50)
        assert drawn is not None
        assert strip is not None
        assert [b.text for b in drawn.bars if b.shape == "m-idle"] == ["idle 94 ms"]
        assert len(strip.idle) == 1
        patient = mini(record, idle_ms=95)
        assert patient is not None
        assert not patient.idle

    def test_statements_that_are_not_listed_are_drawn_together(self) -> None:
        statements = tuple(handmade.statement(float(at), 0.5) for at in range(80))
        record = handmade.record(
            1, handmade.session(1, statements=statements), duration_ms=100.0
        )
        drawn = timeline(record, idle_ms=500, listed=50)
        assert drawn is not None
        assert [mark.number for mark in drawn.marks] == list(range(1, 51))
        assert drawn.others.count("M") == 30

    def test_statements_without_a_session_have_their_own_lane(self) -> None:
        record = handmade.record(1, connection_statements=(handmade.statement(),))
        drawn = timeline(record, idle_ms=500, compact=True)
        assert drawn is not None
        assert [lane.text for lane in drawn.lanes if lane.strong] == ["no session"]
        assert [mark.number for mark in drawn.marks] == [1]

    def test_a_session_without_sql(self) -> None:
        idle = handmade.session(1, transactions=(), statements=(), first_use=None)
        drawn = timeline(handmade.record(1, idle), idle_ms=500, compact=True)
        assert drawn is not None
        assert [bar.text for bar in drawn.bars] == ["created, but it sent no SQL"]

    def test_many_sessions(self) -> None:
        record = handmade.record(1, *(handmade.session(n) for n in range(40)))
        drawn = timeline(record, idle_ms=500, compact=True)
        assert drawn is not None
        assert drawn.hidden == 32
        assert len(drawn.bands) == 8

    def test_pending_has_no_teardown(self) -> None:
        record = handmade.record(1, handmade.session(1, ended="open"))
        drawn = timeline(record, idle_ms=500, pending=True)
        assert drawn is not None
        assert drawn.teardown is None
        assert not any("is-open" in bar.shape for bar in drawn.bars)

    def test_many_statements_share_the_ticks_of_the_strip(self) -> None:
        many = tuple(handmade.statement(n / 1000, 0.001) for n in range(5000))
        strip = mini(
            handmade.record(1, handmade.session(1, statements=many)), idle_ms=500
        )
        assert strip is not None
        assert 50 < len(strip.statements) <= 353

    @pytest.mark.parametrize(
        "duration", [0.0, 0.004, 0.3, 1.0, 7.0, 99.9, 1234.5, 3_600_000.0]
    )
    def test_ticks_are_round_and_few(self, duration: float) -> None:
        ticks = Scale(handmade.record(1, duration_ms=duration), 0, 1000).ticks()
        assert 4 <= len(ticks) <= 12
        assert ticks[0].x == 0
        assert ticks[-1].text.endswith(" ms")
        assert [tick.x for tick in ticks] == sorted(tick.x for tick in ticks)


class TestFlow:
    def test_isolated(self) -> None:
        steps = flow(handmade.record(1, handmade.session(1042)), NOTHING)
        assert [step.label for step in steps] == [
            "Request",
            "Proxy",
            "Session",
            "Queries",
            "Teardown",
        ]
        assert [step.title for step in steps] == [
            "GET",
            "db.session",
            "S1042",
            "1 statement",
            "removed",
        ]
        assert steps[-1].note == "confirmed after the response"
        assert steps[-1].tone == "ok"

    def test_pending(self) -> None:
        running = handmade.session(
            1,
            ended="open",
            transactions=(handmade.transaction(ended=None, outcome="open"),),
        )
        steps = flow(handmade.record(1, running), NOTHING, pending=True)
        assert steps[-1].title == "pending"
        assert {step.tone for step in steps} == {""}

    def test_nothing_used(self) -> None:
        steps = flow(handmade.record(1), NOTHING)
        assert [step.absent for step in steps] == [False, True, True, False, False]
        assert steps[-1].note == "nothing to remove"

    def test_trouble(self) -> None:
        steps = flow(pinned(1), frozenset({1001}))
        tones = {step.label: step.tone for step in steps}
        assert tones["Session"] == "bad"
        assert tones["Teardown"] == "bad"

    def test_lost_writes(self) -> None:
        lost = handmade.session(
            1, transactions=(handmade.transaction(writes={"users": 2}),)
        )
        queries = flow(handmade.record(1, lost), NOTHING)[3]
        assert (queries.note, queries.tone) == ("not committed", "bad")
