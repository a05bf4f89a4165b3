"""What is noticed besides crossings, by scheduled tasks: each module has `find(at)`, which gives what holds now."""
