"""Settings in a TOML file: `[defaults]`, `[profile.NAME]` and `[hooks]`."""
