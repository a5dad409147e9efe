"""Geometry: records as drawings made of plain data, without markup."""
