"""``python -m tfdrlprune``: the command, where its script is not on the path."""

from tfdrlprune.cli import main

if __name__ == "__main__":
    main()
