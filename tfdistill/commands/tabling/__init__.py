"""The command `table` at work: what is asked for, the runs that it takes, and their training."""
