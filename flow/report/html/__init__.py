"""The HTML pages of builds, comparisons and sweeps."""
