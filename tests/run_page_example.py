"""Run one app of the documentation and write down what the inspector found.

Called by page_examples.py with a plan in JSON, in a process of its own.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.util
import json
import os
import pathlib
import sys
import threading
import types
import typing as t

# Flask-Admin refuses a plain Session where it could import this package, which no
# example uses, and which the environment of the tests has.
sys.modules["flask_sqlalchemy_lite"] = t.cast(types.ModuleType, None)

NAME = "example_app"


def load(path: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(NAME, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Where Flask looks for the application's folder.
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def in_a_thread(work: t.Callable[[], None]) -> None:
    """Call something in a thread, and raise here what it raises there."""
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def note_what_threads_raise(errors: list[str]) -> None:
    """Keep what would only be printed: an app whose thread fails shows nothing."""
    print_it = threading.excepthook

    def note(failed: t.Any) -> None:
        errors.append(f"{failed.exc_type.__name__}: {failed.exc_value}")
        print_it(failed)

    threading.excepthook = note


def act(module: types.ModuleType, plan: dict[str, t.Any]) -> None:
    def send(requests: list[list[str]]) -> None:
        for method, path in requests:
            with module.app.test_client().open(path, method=method) as response:
                response.get_data()

    requests = plan["requests"]
    apart = [requests] if plan["way"] == "one thread" else [[one] for one in requests]
    for some in apart:
        in_a_thread(functools.partial(send, some))
    if requests:
        return
    functions = [
        value
        for name, value in vars(module).items()
        if name == "main" or name.startswith("test_")
    ]
    assert functions, "There is nothing to do."
    for function in functions:
        in_a_thread(function)


def be_patient(recording: t.Any) -> None:
    """Take no machine under load for a fault, where the app leaves that to us."""
    config = recording.config
    if config.idle_transaction_ms == type(config)().idle_transaction_ms:
        recording.config = dataclasses.replace(config, idle_transaction_ms=60_000)


def write_down(inspection: t.Any, errors: list[str], path: str) -> None:
    inspection.flush()
    records = inspection.requests(limit=1000)
    outcome = {
        "findings": [
            {
                "code": finding.code,
                "severity": finding.severity,
                "message": finding.message,
            }
            for finding in inspection.findings()
        ],
        "requests": [
            {"path": record.path, "status": record.status, "error": record.error}
            for record in records
            if record.kind == "request"
        ],
        "internal_errors": inspection.counters.internal_errors,
        "thread_errors": errors,
    }
    pathlib.Path(path).write_text(json.dumps(outcome), encoding="utf-8")


def main() -> None:
    plan = json.loads(sys.argv[1])
    errors: list[str] = []
    note_what_threads_raise(errors)
    module = load(plan["app"])
    # Debug mode would send them to the client instead of an error page.
    module.app.config["PROPAGATE_EXCEPTIONS"] = False
    inspection = module.app.extensions["session_inspector"]
    be_patient(inspection.recording)
    if plan["way"] == "a forked worker":
        child = os.fork()
        if child:
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            sys.exit(status)
    act(module, plan)
    write_down(inspection, errors, plan["outcome"])
    # What an example leaves behind on purpose is not to be tidied up by the
    # interpreter, which would complain about it.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
