"""The index: uploads, the simple repository API, and where the bytes are kept."""
