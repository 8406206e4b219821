"""What goes to other frameworks and comes back: arrays, masks, instances."""
