"""Design -> Design, pure functions; each is checked after it ran."""
