"""Codes of maps from their values, by the least values of all codes."""
