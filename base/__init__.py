"""What every part needs and none owns. Imports nothing of ours."""
