"""From members of an archive to files below one directory, whatever the archive says and whatever stands there."""
