"""What the documentation's site is made by; `ehrdocs.site` is the Sphinx extension, and needs Sphinx alone."""
