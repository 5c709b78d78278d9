"""What boards say, bounded and checked before anything of it is kept or believed."""
