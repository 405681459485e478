"""Cut a history to a token budget without ever making a prompt that is refused."""
