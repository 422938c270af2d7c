"""The endpoints, one small module each, and the way from an event to them."""
