"""What the system tests are made of: a running Loble, backends and clients to script."""
