"""Training: one loop for everything that is trained, and one file per trained thing."""
