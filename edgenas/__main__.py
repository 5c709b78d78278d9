"""`python -m edgenas` is the `edgenas` program."""

from edgenas.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
