"""The pytest plugin, loaded by its entry point in every suite that has lacnode installed.

Must import nothing of the node before a fixture is asked for: it is loaded by suites that never use it.
"""
