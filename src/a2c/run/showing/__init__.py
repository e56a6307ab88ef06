"""What people see of a run: the console, plots and videos."""
