"""Every option of the command line, declared once: a module for each panel of the help."""
