"""From the raw side to the records: runs only when somebody looks."""

from __future__ import annotations

import re
import typing as t
from time import perf_counter
from urllib.parse import quote

from . import records
from .masking import MASK
from .masking import Masker
from .masking import storable
from .recorder import RawCheckout
from .recorder import RawSession
from .recorder import RawStatement
from .recorder import RawTransaction
from .recorder import Scope
from .sqltext import sql_literals
from .sqltext import statement_kind

if t.TYPE_CHECKING:
    from .locations import RawLocation


class RecordBuilder:
    """Builds records under one configuration.

    :param masker: Masks sensitive names.
    :param keep_literals: Leave the literals in SQL as they are.
    """

    def __init__(self, masker: Masker, *, keep_literals: bool) -> None:
        self._masker = masker
        self._keep_literals = keep_literals
        self._sql: dict[tuple[str, bool], str] = {}

    def build(self, scope: Scope) -> records.RequestRecord:
        """Build the record of a scope, finished or not.

        :param scope: Other threads may still add to it.
        """
        origin = scope.started
        stopped = scope.stopped if scope.stopped is not None else perf_counter()
        statements: dict[int | None, list[records.StatementRecord]] = {}
        for raw in list(scope.statements):
            statement = self._statement(raw, origin)
            statements.setdefault(raw.serial, []).append(statement)
        transactions: dict[int, list[records.TransactionRecord]] = {}
        for transaction in list(scope.transactions):
            transactions.setdefault(transaction.serial, []).append(
                _transaction(transaction, origin)
            )
        return records.RequestRecord(
            id=str(scope.id),
            kind=t.cast(records.Kind, scope.kind),
            app=storable(scope.origin.app_name),
            pid=scope.origin.pid,
            thread=storable(scope.thread),
            started_at=scope.started_at,
            duration_ms=_milliseconds(stopped, origin),
            method=scope.method,
            path=self.path(scope.path, scope.query, scope.secrets),
            endpoint=scope.endpoint,
            status=scope.status,
            error=scope.error,
            contexts=scope.contexts,
            reused_context=scope.reused_context,
            sessions=tuple(
                _session(
                    session,
                    scope,
                    tuple(transactions.get(serial, ())),
                    tuple(statements.get(serial, ())),
                )
                for serial, session in list(scope.sessions.items())
            ),
            connections=tuple(
                _checkout(checkout, origin) for checkout in list(scope.checkouts)
            ),
            connection_statements=tuple(statements.get(None, ())),
            findings=scope.findings,
            statement_count=len(scope.statements) + scope.statement_overflow,
            truncated=scope.dropped,
        )

    def _statement(self, raw: RawStatement, origin: float) -> records.StatementRecord:
        return records.StatementRecord(
            at_ms=_milliseconds(raw.began, origin),
            duration_ms=_milliseconds(raw.ended, raw.began),
            sql=self.shown_sql(raw.sql, raw.bind.mysql),
            kind=statement_kind(raw.sql, mysql=raw.bind.mysql),
            rows=raw.rows,
            bind=storable(raw.bind.name),
            location=location(raw.location),
            relationship=raw.relationship,
            parameters=raw.parameters,
        )

    def shown_sql(self, sql: str, mysql: bool) -> str:
        """Return SQL as it may be shown."""
        # An application sends few different statements, each many times.
        shown = self._sql.get((sql, mysql))
        if shown is None:
            shown = storable(sql)
            if not self._keep_literals:
                shown = sql_literals(shown, mysql=mysql)
            if len(self._sql) >= 1000:
                self._sql.clear()
            if len(sql) <= 10_000:
                self._sql[sql, mysql] = shown
        return shown

    def path(
        self, path: str | None, query: bytes, secrets: tuple[str | None, ...]
    ) -> str | None:
        """Return a path with its query string as they may be shown.

        :param secrets: As :attr:`~.recorder.Scope.secrets`.
        """
        if path is None:
            return None
        for secret in secrets:
            path = _without(path, secret)
        path = self._masker.path(path)
        if query:
            # Bytes that are not ASCII are shown as they would be sent.
            query_string = quote(query, safe="%&=+;/?:@!$'()*,-._~[]")
            path = f"{path}?{self._masker.query_string(query_string)}"
        return storable(path)


def _without(path: str, secret: str | None) -> str:
    """Take the value of a URL variable out of a path, or all of the path.

    :param secret: Its text. A converter may have made something else of what the
        path says.
    """
    if secret == "":
        return path
    masked = re.sub(re.escape(secret), MASK, path, flags=re.I) if secret else path
    return f"/{MASK}" if masked == path else masked


def _milliseconds(moment: float, origin: float) -> float:
    return round(max(moment - origin, 0.0) * 1000, 3)


def location(raw: RawLocation | None) -> records.Location | None:
    return None if raw is None else records.Location(storable(raw[0]), raw[1], raw[2])


def _transaction(raw: RawTransaction, origin: float) -> records.TransactionRecord:
    ended = raw.ended
    return records.TransactionRecord(
        began_ms=_milliseconds(raw.began, origin),
        ended_ms=None if ended is None else _milliseconds(ended, origin),
        nested=raw.nested,
        outcome=t.cast(records.Outcome, raw.outcome or "open"),
        bind=storable(raw.bind.name),
        writes={storable(table): rows for table, rows in raw.writes.items()},
    )


def _checkout(raw: RawCheckout, origin: float) -> records.ConnectionCheckout:
    returned = raw.returned
    return records.ConnectionCheckout(
        connection_id=raw.connection_id,
        bind=storable(raw.bind.name),
        checked_out_ms=_milliseconds(raw.taken, origin),
        checked_in_ms=None if returned is None else _milliseconds(returned, origin),
        session=raw.serial,
    )


def _session(
    raw: RawSession,
    scope: Scope,
    transactions: tuple[records.TransactionRecord, ...],
    statements: tuple[records.StatementRecord, ...],
) -> records.SessionRecord:
    facts = raw.facts
    return records.SessionRecord(
        serial=facts.serial,
        label=f"S{facts.serial}",
        python_id=facts.python_id,
        class_name=facts.class_name,
        origin=t.cast(records.Origin, facts.origin),
        registry=None if facts.registry is None else storable(facts.registry),
        proxy_id=facts.proxy_id,
        scope_key=facts.scope_key,
        context=raw.context,
        first_request_id=str(facts.first_record or scope.id),
        first_use=location(raw.first_use),
        identity_map_size=raw.identity_map_size,
        pending_new=raw.pending[0],
        pending_dirty=raw.pending[1],
        pending_deleted=raw.pending[2],
        ended=t.cast(records.SessionEnd, raw.ended),
        transactions=transactions,
        statements=statements,
    )
