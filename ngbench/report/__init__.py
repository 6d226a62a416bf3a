"""What is shown of a document of records: tables, exports, figures. Nothing here imports torch."""
