"""What the commands do: each experiment takes a request, returns a document and prints nothing."""
