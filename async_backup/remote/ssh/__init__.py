"""The only package that imports asyncssh (beside the demo's server); its errors end here."""
