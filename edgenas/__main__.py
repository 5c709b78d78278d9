"""`python -m edgenas` is the `edgenas` program."""

from edgenas.cli import program

if __name__ == "__main__":
    program()
