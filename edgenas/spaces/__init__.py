"""Search spaces, and their architectures as blocks and as torch modules."""
