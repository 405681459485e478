"""Keep messages: one room a backend, one base class above them."""
