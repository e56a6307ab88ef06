"""N environments side by side: in this process, and in workers that step many each."""
