"""The study: every claim of the article behind this project, measured."""
