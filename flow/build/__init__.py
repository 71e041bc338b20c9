"""A build: options, state, architecture, engines, outcome."""
