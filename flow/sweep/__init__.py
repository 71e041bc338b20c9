"""Exploration: many trainings and builds on a cluster, and the Pareto front of score against cost."""
