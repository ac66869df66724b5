"""M-Bus (EN 13757-2 and -3): meters on a two-wire line."""
