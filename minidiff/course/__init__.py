"""The course kit: one source for lesson, exercise, solution and slides in two languages, and graders that are themselves
tested. What it is not: the lessons, which are in `lessons/`, nor the library that they teach."""
