"""The documentation site: pages generated when MkDocs builds it, and links from pages to code. Not installed."""
