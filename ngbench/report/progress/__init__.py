"""What the user sees while something runs, on standard error."""
