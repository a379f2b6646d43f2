"""Training of the storybook model: `python -m train --help` from models/storybook."""
