"""What WTForms' form classes hold: fields that are not bound, their validators."""

from __future__ import annotations

import sys
import types
import typing as t

from .peek import class_attributes
from .peek import elements
from .peek import instance_attributes
from .peek import loaded
from .peek import module_of
from .peek import mro
from .peek import name_of
from .peek import named_entries
from .peek import packages
from .step import Step


def is_form(candidate: object) -> bool:
    """Say whether an object is a form class."""
    meta = loaded(sys.modules, "wtforms.form", "FormMeta")
    return meta is not None and issubclass(type(candidate), meta)


def is_unbound_field(candidate: object) -> bool:
    """Say whether an object is a field as a form class has it."""
    unbound = loaded(sys.modules, "wtforms.fields.core", "UnboundField")
    return unbound is not None and issubclass(type(candidate), unbound)


def form_steps(form: type) -> t.Iterator[Step]:
    """Iterate over the fields of a form class, then its other attributes."""
    own: dict[str, t.Any] = {}
    for kind in mro(form):
        if module_of(kind) not in ("wtforms.form", "builtins"):
            own = {**class_attributes(kind), **own}
    for name, value in own.items():
        if is_unbound_field(value):
            yield Step(f' > form field "{name}"', value, 0)
    for name, value in own.items():
        if not is_unbound_field(value) and not name.startswith("_"):
            yield Step(f".{name}", value)


def unbound_field_steps(field: object) -> t.Iterator[Step]:
    """Iterate over the arguments that a field will be made with."""
    attributes = instance_attributes(field)
    of_admin = "flask_admin" in packages(attributes.get("field_class", object))
    for index, value in enumerate(elements(attributes.get("args", ()))):
        if is_form(value) or is_unbound_field(value):
            yield Step("", value, 0)  # The fields of inline models.
        elif index == 1 and issubclass(type(value), (list, tuple)):
            yield from _validators(value)
        elif _is_loader(value):
            yield Step(" > AJAX loader", value, 0)
        elif of_admin and index == 1:
            yield Step(" > inline model", value, 0)
        else:
            yield Step(f" > argument {index}", value)
    for name, value in named_entries(attributes.get("kwargs", {})):
        if name == "validators":
            yield from _validators(value)
        elif name == "query_factory":
            yield Step(" > query factory", value, 0)
        elif _is_loader(value):
            yield Step(" > AJAX loader", value, 0)
        elif is_form(value) or is_unbound_field(value):
            yield Step("", value, 0)
        else:
            yield Step(f' > argument "{name}"', value)


def _validators(validators: object) -> t.Iterator[Step]:
    for validator in elements(validators):
        kind = type(validator)
        name = f"{name_of(kind)} validator"
        if kind is types.FunctionType:
            name = f'validator "{validator.__name__}"'
        yield Step(f" > {name}", validator, 0)


def _is_loader(candidate: object) -> bool:
    loader = loaded(sys.modules, "flask_admin.model.ajax", "AjaxModelLoader")
    return loader is not None and issubclass(type(candidate), loader)
