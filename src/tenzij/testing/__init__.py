"""The test kit, shipped so that whoever builds on tenzij can test with it: a fake engine, a supervisor of one worker."""
