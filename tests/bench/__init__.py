"""The measured promises: each figure beside what the same work costs without us, in the same run.

`make bench` (or `python -m tests.bench paced`) measures, prints one table and writes `bench.json`. A group of figures
is one module with `measure()`, named in `groups.py`. Everything runs on loopback and stops by itself.
"""
