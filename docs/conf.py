"""The documentation's site: built by `nox -s docs` into `docs/_build/html`, from files of the repository alone."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from ehrcore import __version__

project = "ehrbench"
author = "The ehrbench contributors"
release = __version__
extensions = ["myst_parser", "sphinx_copybutton", "ehrdocs.site"]
exclude_patterns = ["_build", "examples"]
nitpicky = True
# Options begin with two hyphens, in sentences, too.
smartquotes = False

# -- Markdown ---------------------------------------------------------------------------------------------------------
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 4
# `repo` names a file of the repository; ehrdocs leads it to its page on the site.
myst_url_schemes = ["http", "https", "mailto", "repo"]
# What code blocks show is not always whole: a manifest's part, a shell session with its output.
highlight_language = "text"
# A code block's prompt is no part of what is copied.
copybutton_prompt_text = "$ "
copybutton_only_copy_prompt_lines = True

# -- HTML: nothing from a network, and the same bytes from the same files ---------------------------------------------
html_theme = "furo"
html_title = "ehrbench"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
html_use_index = False
html_domain_indices = False
html_theme_options = {
    "top_of_page_buttons": [],
    "light_css_variables": {"font-stack": "system-ui, sans-serif", "font-stack--monospace": "ui-monospace, monospace"},
}
