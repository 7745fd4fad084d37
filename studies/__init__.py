"""The project's studies: one question a file."""
