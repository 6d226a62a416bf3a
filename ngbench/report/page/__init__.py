"""The report: one page, as HTML or as Markdown, of any set of records. Nothing here imports torch."""
