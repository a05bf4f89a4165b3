"""Readers of provider usage: provider JSON -> frozen `Usage`. Pure: no Django, no I/O."""
