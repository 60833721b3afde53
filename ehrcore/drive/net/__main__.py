"""``python -m ehrcore.drive.net FOLDER NAME``: one node in the foreground."""

import sys

from ehrcore.drive.net.node import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
