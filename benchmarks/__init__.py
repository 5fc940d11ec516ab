"""What this provider costs, measured beside what one would use instead.

``make bench``, or ``python -m benchmarks [name ...]``, runs the modules in :mod:`benchmarks.cases` and prints a table
for each. A budget that does not hold ends the run with exit status 1.

A new benchmark is one module in ``benchmarks/cases/`` with one function, ``run() -> Report``: it measures, and returns
rows for the table, some of them with budgets (:func:`~benchmarks.report.at_most`,
:func:`~benchmarks.report.at_least`). The first line of its docstring is its title. It is found by itself, under the
module's name. What it needs to import that is not cheap, it imports within its functions.

Times depend on the machine and on what else it does. So budgets about time are ratios of what is measured in the same
run, in turns, over several repetitions; the tables show medians.
"""
