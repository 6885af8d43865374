"""The update rules, one file a method; all are proved against their equation."""
