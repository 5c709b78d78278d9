"""What an architecture costs without running it: MACs, bytes of flash, and of RAM as each runtime plans it."""
