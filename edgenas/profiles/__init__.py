"""Board profiles: measurements, what they say together, and the latency model fitted on them."""
