"""How blocks are shown: on a terminal, as Markdown, as a page, as drawings."""
