"""One module for each format of tables that can be read."""
