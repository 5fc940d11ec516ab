"""What this provider costs, measured beside what one would use instead: ``make bench``.

These are tests, so pytest's options select among them: ``make bench ARGS='-k triggering'``. pytest-benchmark times what
is short; the others print tables of their own. A budget that is exceeded fails its test.

Times depend on the machine and on what else it does. So budgets about time are ratios within one run, or the best of
several rounds. ``--busy`` doubles what is allowed where neither helps.
"""
