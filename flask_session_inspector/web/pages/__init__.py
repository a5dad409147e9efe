"""Wording: records as the texts, rows and links that the templates show."""
