"""`python -m async_backup`."""

from async_backup.cli import main

if __name__ == "__main__":
    main()
