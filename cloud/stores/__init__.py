"""Stores: where points are kept. One interface, one contract suite, several implementations."""
