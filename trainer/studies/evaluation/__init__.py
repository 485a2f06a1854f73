"""Does a generator know a map, or can it be forced to show one: measures, controls, intervals, and the report."""
