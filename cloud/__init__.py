"""What happens to a batch after the broker: collector, registry, stores. Imports `wire` and `base` alone."""
