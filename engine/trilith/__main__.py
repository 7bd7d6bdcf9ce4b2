"""`python -m trilith`: the command line without an entry script on the PATH."""

from trilith.cli.main import main

if __name__ == "__main__":
    main()
