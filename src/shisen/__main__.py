"""``python -m shisen``."""

from shisen.cli.main import main

if __name__ == "__main__":
    main()
