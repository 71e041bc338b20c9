"""What a person sees of a build: console, tables, HTML pages."""
