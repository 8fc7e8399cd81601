"""One HTML file from panels."""

from .html import fragment as fragment
from .html import to_html as to_html
