"""SunSpec: meters and inverters that say themselves where their registers are."""
