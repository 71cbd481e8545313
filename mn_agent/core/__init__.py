"""The mobile node as a calculator: events and the time go in, commands come out."""
