"""The measured promises: each figure beside what the same work costs without us, in the same run.

`make bench` (or `make bench ARGS="one flood"`) measures, prints one table and writes `bench.json`. A group of figures is
one function, named in `groups.py`. Everything runs on loopback and stops by itself. `test_promises.py` holds that what is
broken shows.

Those of the whole chat (`streams`, `two`, `idle`, `slow`, `limit`) stand on a stage (`product.py`) of four processes: a
provider that answers as the question says (`provider.py`, `answers.py`), the product as an operator runs it, the bare
relay as the floor (`relay.py`), and the people (`crowd.py`, `sockets.py`). The provider takes down when it sent each
word, the people when it arrived: one clock, and the difference is what lay in between.
"""
