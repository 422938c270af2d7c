"""What can `import` move in from? A folder of distributions, or another index."""
