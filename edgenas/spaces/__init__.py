"""Search spaces: what may be searched, and one architecture of it as blocks and as a torch module."""
