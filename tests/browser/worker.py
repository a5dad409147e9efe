"""A shop in a process of its own: ``python -m browser.worker PORT FOLDER``.

It writes its port when it serves. In a third argument, ``several``, it says to be one
of several workers.
"""

from __future__ import annotations

import sys
import typing as t

from conftest import making_apps
from conftest import shop_maker
from werkzeug.serving import make_server

from browser import shops


def main(port: str, folder: str, several: str = "") -> None:
    with making_apps() as make_app:
        shop = shops.with_admin(shop_maker(make_app, folder)(**shops.CONFIG))
        if several:
            say_several(shop)
        server = make_server("127.0.0.1", int(port), shop.app, threaded=True)
        print(server.server_port, flush=True)
        server.serve_forever()


def say_several(shop: shops.Shop) -> None:
    """Say what a server with several workers says to the application."""
    serve = shop.app.wsgi_app

    def serve_as_one_of_several(environ: dict[str, t.Any], start: t.Any) -> t.Any:
        environ["wsgi.multiprocess"] = True
        return serve(environ, start)

    shop.app.wsgi_app = serve_as_one_of_several  # type: ignore[method-assign]


if __name__ == "__main__":
    main(*sys.argv[1:])
