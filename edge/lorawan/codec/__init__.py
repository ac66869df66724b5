"""JavaScript payload codecs (LoRa Alliance TS013), run in a worker process that can do nothing else."""
