"""The machine: processes, cores, devices, clock, compiled code, CUDA graphs, transfers to the device."""
