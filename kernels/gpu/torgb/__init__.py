"""The to-rgb layer with the skip path."""
