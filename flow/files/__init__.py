"""The only writer of files: plans, resumable steps, and what in a folder is a build's own."""
