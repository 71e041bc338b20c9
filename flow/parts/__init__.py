"""Devices, boards and their families: resources, delays, names of each tool."""
