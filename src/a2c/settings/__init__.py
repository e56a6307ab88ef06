"""Settings: their types and ranges, from YAML, the command line and resumed runs to one plain record."""
