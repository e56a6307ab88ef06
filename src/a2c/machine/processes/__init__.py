"""Worker processes: started light, heard at once, gone with the main process. They know no environments."""
