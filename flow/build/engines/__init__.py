"""Engines: the verification routes of a build, and the steps that make what they run."""
