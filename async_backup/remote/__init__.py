"""Where archives go: the contract, a server over SFTP, and a verified fake."""
