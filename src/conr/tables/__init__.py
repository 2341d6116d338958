"""Tables in files: columns with their kinds, and the numbers that networks take."""
