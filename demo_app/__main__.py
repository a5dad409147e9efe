"""Serves the shop: ``python -m demo_app``, at 127.0.0.1 and port ``$PORT``."""

from __future__ import annotations

import errno
import os
import socket
import sys

from werkzeug.debug import DebuggedApplication
from werkzeug.serving import make_server

from . import create_app
from .database import DatabaseError

HOST = "127.0.0.1"

WHERE_TO_LOOK = """
  The shop             {base}/
  The Sessions page    {base}/admin/sessions/
  Every finding        {base}/scenarios/
  The JSON API         {base}/_session_inspector/api/requests

  Walk through the shop, then look at the Sessions page: it shows which database
  session served each request. The scenarios make each fault happen that has a
  name, and show how it is mended. Ctrl-C stops.
"""


def main() -> int:
    """Serve until Ctrl-C.

    :return: The exit code, 1 if the shop could not start.
    """
    # The socket comes first: a busy port is told before a database is made.
    try:
        listener = _listen(os.environ.get("PORT") or "5000")
        app = create_app()
    except (_NoPort, DatabaseError) as error:
        print(error, file=sys.stderr)
        return 1
    with listener:
        port = listener.getsockname()[1]
        server = make_server(
            HOST,
            port,
            DebuggedApplication(app, evalex=False),
            threaded=True,
            fd=listener.fileno(),
        )
        print(WHERE_TO_LOOK.format(base=f"http://{HOST}:{port}"), flush=True)
        server.serve_forever()
    return 0


class _NoPort(Exception):
    """The port cannot be used; the message is one sentence."""


def _listen(port: str) -> socket.socket:
    if not (port.isascii() and port.isdigit() and int(port) < 65536):
        raise _NoPort(f"PORT must be a whole number from 0 to 65535, not {port!r}.")
    try:
        return socket.create_server((HOST, int(port)), backlog=128)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise _NoPort(
                f"Port {port} is in use by another program; choose another one,"
                f" for example with PORT={_another(int(port))}."
            ) from None
        raise _NoPort(f"Port {port} cannot be used: {error.strerror}.") from None


def _another(port: int) -> int:
    return port + 1 if port < 65535 else 5000


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        # Before the server took over; once it serves, it ends by itself.
        sys.exit(130)
