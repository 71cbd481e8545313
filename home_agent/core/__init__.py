"""The home agent as a calculator: packets and the time go in, packets and wanted kernel state come out."""
