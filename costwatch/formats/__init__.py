"""How dates are written where a page names no format of its own (`FORMAT_MODULE_PATH`)."""
