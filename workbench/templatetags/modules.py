"""``{% module "workbench/js/page.js" %}``: a module, and early word of all that it imports."""

from __future__ import annotations

from django import template
from django.templatetags.static import static
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from workbench.assets import imported_modules

register = template.Library()


@register.simple_tag
def module(name: str) -> SafeString:
    """Without the preloads, a browser would find the imports one level at a time."""
    preloads = format_html_join(
        "\n",
        '<link rel="modulepreload" href="{}">',
        ((static(imported),) for imported in imported_modules(name)),
    )
    return format_html('{}\n<script type="module" src="{}"></script>', preloads, static(name))
