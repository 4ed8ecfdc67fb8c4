"""What goes along with a run: commands before, during and after it, and pings to a monitor."""
