"""DSLX for the open HLS compiler XLS."""
