"""What runs models: one module for each kind of runtime, and a line of the registry."""
