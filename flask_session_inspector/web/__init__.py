"""The web side: the JSON API, the page of Flask-Admin, the panel of the toolbar."""
