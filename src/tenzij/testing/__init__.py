"""The test kit, shipped so that who builds on tenzij can test with it: a fake engine, a supervisor of one worker."""
