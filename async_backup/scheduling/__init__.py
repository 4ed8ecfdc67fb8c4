"""Runs of a profile at set times: a systemd timer, or a line of the crontab where there is no systemd."""
