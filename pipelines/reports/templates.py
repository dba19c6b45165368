"""The templates of every page, and what renders them."""

from pathlib import Path
from typing import Any

import jinja2

from pipelines.reports.markdown import FILTERS

__all__ = ["TEMPLATES", "page_environment"]

TEMPLATES = Path(__file__).resolve().parents[1] / "templates"


def page_environment(*, html: bool, **options: Any) -> jinja2.Environment:
    """Return what renders templates: escaped for HTML, as they are for Markdown and plain text.

    Markdown has the filters of :data:`pipelines.reports.markdown.FILTERS`.

    A name that a template asks for and was not given is an error. ``options`` are Jinja's.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=html,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    if not html:
        environment.filters |= FILTERS
    return environment
