"""`python -m tfdistill COMMAND`: the console command."""

import sys

from tfdistill.commands.main import main

if __name__ == "__main__":
    sys.exit(main())
