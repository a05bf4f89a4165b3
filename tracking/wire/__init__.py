"""What goes over the wire between an SDK and its provider, read without touching it. Pure: no Django, no I/O."""
