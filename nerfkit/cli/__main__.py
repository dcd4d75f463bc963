import sys

from nerfkit.cli import main

sys.exit(main())
