"""What is made of a finished run: plots, a video, statistics over seeds. Reads run folders; trains nothing."""
