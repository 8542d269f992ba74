"""The one idea: a noise schedule, what a network predicts, the times visited, and one step between them. Needs only torch."""
