"""Exchange with other frameworks: arrays, masks, instances and suites."""
