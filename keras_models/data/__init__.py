"""Data sets and the preprocessing that is fitted on them."""
