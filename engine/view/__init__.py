"""The local viewer of models and run folders: a server on this machine and its page."""
