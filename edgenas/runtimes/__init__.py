"""What runs models on a board."""
