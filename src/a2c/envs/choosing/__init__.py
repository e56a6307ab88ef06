"""Choose what steps the environments: as the settings say, or by what a step costs."""
