"""What programs read: one file for each format."""
