"""What will step the environments: as the settings say, or by what a step costs."""
