"""The machine: cores, devices, compiled code, graphs, memory on both sides of the bus."""
