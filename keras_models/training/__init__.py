"""Training from start to end: schedules, budgets, choice of the best epoch, checkpoints, pictures."""
