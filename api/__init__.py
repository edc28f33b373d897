"""Keys, the fleet, and where notices go, over HTTP, for operators, administrators and devices."""
