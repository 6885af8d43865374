"""``python -m losslab``."""

from losslab.cli import main

if __name__ == "__main__":
    main()
