"""An open connection to one board: probe models, timings, and what is recorded of them."""
