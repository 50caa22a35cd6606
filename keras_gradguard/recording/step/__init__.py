"""What becomes part of the compiled train step."""
