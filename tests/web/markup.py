"""What a strict Content-Security-Policy and a careful reader ask of markup."""

from __future__ import annotations

from html.parser import HTMLParser


class Markup(HTMLParser):
    """The elements of a page, or of a part of it.

    :ivar elements: Tag and attributes, in order.
    :ivar text: All text, scripts and styles included.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._pieces: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data
        self._pieces.append(data)

    @property
    def words(self) -> str:
        """The text of all elements, each with one space around it."""
        return " ".join(" ".join(self._pieces).split())

    def attributes(self, tag: str, name: str) -> list[str]:
        return [
            value
            for each, attributes in self.elements
            if each == tag and (value := attributes.get(name)) is not None
        ]

    def inline(self) -> list[str]:
        """List what ``default-src 'self'`` would block."""
        found = []
        for tag, attributes in self.elements:
            found += [
                f"{tag} {name}"
                for name in attributes
                if name == "style" or name.startswith("on")
            ]
            if tag == "style" or (tag == "script" and not attributes.get("src")):
                found.append(tag)
            found += [
                f"{tag} {name}={value}"
                for name, value in attributes.items()
                if value is not None and value.strip().lower().startswith("javascript:")
            ]
        return found

    def repeated_ids(self) -> set[str]:
        ids = [each["id"] for _, each in self.elements if "id" in each]
        return {str(each) for each in ids if ids.count(each) > 1}
