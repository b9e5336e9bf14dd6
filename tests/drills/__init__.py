"""The crash drill: the product is killed again and again while people ask, and must lose nothing.

    people      ask through the form, with a key, and watch on sockets; they note what each tab was shown, and when
    product     the process under test: started, killed, started again on the same port; its rows, read from a copy
    upstream    the provider, a process that survives all of it and knows what it sent
    drill       the loop: a random load, a random moment, a kill
    verdict     compares the three accounts, and says what was lost

`python -m tests.drills --kills 100` runs the long form; tests/drills/test_drill.py the short one.
"""
