#!/bin/bash
# Runs a Python test by the system's Python, where Debian's modules are.
exec /usr/bin/python3 "$@"
