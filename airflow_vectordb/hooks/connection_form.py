"""The connection form for Airflow 3.1, which gets it from the hook's class; later versions read the provider info."""

from __future__ import annotations

from typing import Any

from airflow_vectordb.hooks.connection_fields import EXTRA_FIELDS


def form_widgets() -> dict[str, Any]:
    """Return the form's WTForms fields, or those of the stand-ins that Airflow's API server has for WTForms."""
    from flask_appbuilder.fieldwidgets import BS3TextFieldWidget
    from flask_babel import lazy_gettext
    from wtforms import BooleanField, IntegerField, StringField
    from wtforms.validators import Optional

    kinds = {"boolean": BooleanField, "integer": IntegerField, "number": IntegerField}
    widgets = {}
    for field in EXTRA_FIELDS:
        kind = kinds.get(field.schema["type"][0], StringField)
        given: dict[str, Any] = {} if kind is BooleanField else {"widget": BS3TextFieldWidget()}
        widgets[field.name] = kind(
            lazy_gettext(field.label),
            validators=[Optional()],
            description=field.meaning,
            default=field.schema.get("default"),
            **given,
        )
    return widgets
