"""One workflow each: short, they only connect the rooms below. `import edgenas` offers them by name."""
