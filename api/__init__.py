"""The registry and what is known of the fleet, over HTTP, for operators and devices."""
